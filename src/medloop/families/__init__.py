"""Generations of learners behind one contract: fit, predict, save, load.

A family is a module of this folder with ``check(parameters)``, ``fit(job) -> Fitted``, ``to_parts(model) -> Parts`` and
``from_parts(parts) -> model``; its file name is its name.
"""

from medloop.families._augmented import augmented
from medloop.families._explaining import choices_of, explain, way_of
from medloop.families._job import Finder, FitJob, Fitted, Further, Model, OutOfFold, Parts
from medloop.families._rows import row
from medloop.families._saving import FORMAT, load, save

__all__ = [
    "FORMAT",
    "Finder",
    "FitJob",
    "Fitted",
    "Further",
    "Model",
    "OutOfFold",
    "Parts",
    "augmented",
    "choices_of",
    "explain",
    "load",
    "row",
    "save",
    "way_of",
]
