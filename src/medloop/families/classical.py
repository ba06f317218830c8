"""Generation 1: features computed from images, then linear models, support vector machines and trees on top of them.

Recipe parameters (all may be left out; the executed recipe has the first three):

``features``    list of ``{"name", "params"}``
``heads``       list of ``{"features": [positions], "estimator", "params", "even", "components"}``; their scores are averaged. With
                heads nothing is searched
``folds``       of the cross-validation inside the training cases
``estimators``  names that the search may use
``trials``      at most so many trials
"""

from __future__ import annotations

from medloop.families import _on_features, _search
from medloop.families._job import FitJob, Fitted, Parts
from medloop.families._on_features import FeaturedModel, to_parts
from medloop.families._wanted import check

__all__ = ["FAMILY", "check", "fit", "from_parts", "least_seconds", "to_parts"]

FAMILY = "classical"


def fit(job: FitJob) -> Fitted:
    """Search within the deadline (unless the recipe says what to do), learn on all training cases, calibrate, set thresholds.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    check(job.recipe.parameters)
    return _on_features.fit(job, FAMILY, _search.features_of(job))


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline: one quick feature, one linear model on it."""
    return 0.0 if job.recipe.parameters.get("heads") else _search.least_seconds(job, _search.features_of(job))


def from_parts(parts: Parts) -> FeaturedModel:
    """The model that `to_parts` took apart. Raises `InputError` where a feature has changed since."""
    return _on_features.from_parts(parts, FAMILY)
