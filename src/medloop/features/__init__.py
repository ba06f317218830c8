"""Generation 1's eyes: numbers computed from prepared images.

A feature is a module of this folder with ``VERSION``, ``Params``, ``CHOICES``, ``suits``, ``fit`` and ``extract``
(`medloop.features._contract.FeatureModule`); its file name is its name.
"""

from medloop.features._contract import Block, FeatureModule, Rows, State
from medloop.features._feature import Feature, feature, suiting
from medloop.features._table import cached, extract, fit, table

__all__ = ["Block", "Feature", "FeatureModule", "Rows", "State", "cached", "extract", "feature", "fit", "suiting", "table"]
