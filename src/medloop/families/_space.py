"""What the search may choose from: which features, which estimator, with which parameters; and the guesses it starts with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medloop.families._heads import Spec
from medloop.features import Feature
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Json

NONE = "no"
MANY, MOST_COMPONENTS = 20_000, 256
"""From `MANY` cases on heads learn from at most `MOST_COMPONENTS` principal components, so that memory stays small."""
Guess = dict[str, Any]


class Space:
    """Features by name with their choices, and estimators."""

    def __init__(self, features: Sequence[Feature], estimators: Sequence[str], rows: int) -> None:
        self.estimators = tuple(estimators)
        self.many = rows > MANY
        self.choices: dict[str, list[int]] = {}
        for position, feature in enumerate(features):
            self.choices.setdefault(feature.name, []).append(position)

    def spec(self, trial: Any) -> Spec | None:
        """The configuration of an Optuna trial, or None where it has no feature."""
        chosen = []
        for name, positions in self.choices.items():
            which = trial.suggest_categorical(f"use {name}", [NONE, *map(str, range(len(positions)))])
            if which != NONE:
                chosen.append(positions[int(which)])
        estimator = trial.suggest_categorical("estimator", list(self.estimators))
        params = PARAMETERS[estimator](trial)
        even = estimator in SCALED and trial.suggest_categorical("even", [False, True]) and len(chosen) > 1
        if self.many:
            components = trial.suggest_categorical("components", [MOST_COMPONENTS])
        else:
            components = trial.suggest_categorical("components", [0, 64, MOST_COMPONENTS]) if estimator in SCALED else 0
        return Spec(tuple(chosen), estimator, params, even, components) if chosen else None

    def guess(self, use: Mapping[str, int], estimator: str, even: bool = False, **params: Json) -> Guess:
        """A configuration for Optuna's queue: ``use`` says which choice of which feature."""
        last = {name: len(places) - 1 for name, places in self.choices.items()}
        guess: Guess = {f"use {name}": str(min(use[name], last[name])) if name in use else NONE for name in self.choices}
        guess["estimator"] = estimator
        if estimator in SCALED or self.many:
            guess |= {"even": even, "components": MOST_COMPONENTS if self.many else 0}
        return guess | {f"{estimator} {name}": value for name, value in params.items()}


def _linear(name: str) -> Callable[[Any], dict[str, Json]]:
    def suggest(trial: Any) -> dict[str, Json]:
        return {
            "C": trial.suggest_float(f"{name} C", 0.03, 300.0, log=True),
            "balanced": trial.suggest_categorical(f"{name} balanced", [True, False]),
        }

    return suggest


def _ridge(trial: Any) -> dict[str, Json]:
    return {"alpha": trial.suggest_float("ridge alpha", 1e-3, 10.0, log=True)}


def _rbf(trial: Any) -> dict[str, Json]:
    return {
        "C": trial.suggest_float("rbf-svm C", 0.1, 100.0, log=True),
        "gamma": trial.suggest_float("rbf-svm gamma", 0.03, 2.0, log=True),
        "balanced": trial.suggest_categorical("rbf-svm balanced", [True, False]),
    }


def _forest(name: str) -> Callable[[Any], dict[str, Json]]:
    def suggest(trial: Any) -> dict[str, Json]:
        return {
            "trees": 200,
            "leaf": trial.suggest_int(f"{name} leaf", 1, 8, log=True),
            "share": trial.suggest_categorical(f"{name} share", ["sqrt", "log2", 0.1]),
            "balanced": trial.suggest_categorical(f"{name} balanced", [True, False]),
        }

    return suggest


def _boosting(trial: Any) -> dict[str, Json]:
    return {
        "rate": trial.suggest_float("boosting rate", 0.03, 0.3, log=True),
        "steps": trial.suggest_int("boosting steps", 50, 300, log=True),
        "leaves": trial.suggest_int("boosting leaves", 4, 32, log=True),
        "share": trial.suggest_categorical("boosting share", [0.1, 0.3, 1.0]),
    }


PARAMETERS: Mapping[str, Callable[[Any], dict[str, Json]]] = {
    "logistic": _linear("logistic"),
    "ridge": _ridge,
    "linear-svm": _linear("linear-svm"),
    "rbf-svm": _rbf,
    "extra-trees": _forest("extra-trees"),
    "random-forest": _forest("random-forest"),
    "boosting": _boosting,
}
"""The parameters of each estimator and their ranges."""
_TELLING = ("shape", "colour", "regions", "blobs", "hog", "intensity", "texture", "sift")
SCALED = ("logistic", "ridge", "linear-svm", "rbf-svm")
"""Estimators that care for the scale of features."""


def telling_first(name: str) -> int:
    """The order in which features are given time."""
    return _TELLING.index(name) if name in _TELLING else len(_TELLING)


def first_guesses(space: Space, arrays: PreparedArrays, affordable: Callable[[str], bool]) -> list[Guess]:
    """Configurations known to do well on such images, the quick ones first. ``affordable(name)``: whether there is time for a
    feature."""
    can = [name for name in space.choices if affordable(name)] or list(space.choices)[:1]
    every = dict.fromkeys(can, 0)
    if arrays.binary:
        quick = _kept(can, {"shape": 0})
        guesses = _for_shapes(space, quick)
    elif arrays.colour:
        quick = _kept(can, {"colour": 0, "regions": 0})
        guesses = _for_colour(space, quick, every)
    else:
        quick = _kept(can, {"hog": 0, "intensity": 1})
        guesses = _for_grey(space, quick, every)
    if "blobs" in can:
        guesses = _for_volumes(space, {"blobs": 0}) + guesses
    guesses += [
        space.guess(quick, "ridge", even=True, alpha=0.1),
        space.guess(every, "ridge", even=True, alpha=0.1),
        space.guess(quick, "boosting", rate=0.1, steps=100, leaves=8, share=0.3),
    ]
    known = [guess for guess in guesses if guess["estimator"] in space.estimators]
    return [guess for place, guess in enumerate(known) if guess not in known[:place]]


def _kept(can: Sequence[str], wanted: Mapping[str, int]) -> dict[str, int]:
    """Those features, each with its choice, that are there, or the first choice of all where none is."""
    return {name: choice for name, choice in wanted.items() if name in can} or dict.fromkeys(can, 0)


def _for_shapes(space: Space, use: Mapping[str, int]) -> list[Guess]:
    """Shapes: linear models beat trees."""
    return [
        space.guess(use, "logistic", C=1.0, balanced=True),
        space.guess(use, "logistic", C=0.3, balanced=True),
        space.guess(use, "rbf-svm", C=1.0, gamma=0.1, balanced=True),
        space.guess(use, "linear-svm", C=0.3, balanced=True),
        space.guess(use, "extra-trees", leaf=4, share="sqrt", balanced=True),
    ]


def _for_colour(space: Space, use: Mapping[str, int], every: Mapping[str, int]) -> list[Guess]:
    """Photographs: colours of regions, trees and kernels."""
    return [
        space.guess(use, "logistic", even=True, C=10.0, balanced=True),
        space.guess(use, "extra-trees", leaf=2, share="sqrt", balanced=True),
        space.guess(use, "rbf-svm", even=True, C=3.0, gamma=0.3, balanced=True),
        space.guess(_kept(list(use), {"colour": 0}), "extra-trees", leaf=2, share="sqrt", balanced=True),
        space.guess(every, "rbf-svm", even=True, C=3.0, gamma=0.3, balanced=True),
        space.guess(every, "extra-trees", leaf=2, share="sqrt", balanced=True),
    ]


def _for_volumes(space: Space, use: Mapping[str, int]) -> list[Guess]:
    """Volumes: a disease is often a small thing somewhere, so spots wherever they lie."""
    return [
        space.guess(use, "extra-trees", leaf=2, share=0.1, balanced=True),
        space.guess(use, "logistic", C=1.0, balanced=True),
        space.guess(use, "extra-trees", leaf=2, share="sqrt", balanced=True),
        space.guess(use, "rbf-svm", C=3.0, gamma=0.1, balanced=True),
    ]


def _for_grey(space: Space, use: Mapping[str, int], every: Mapping[str, int]) -> list[Guess]:
    """Grey pictures and volumes: gradients and brightness, linear or with a Gaussian kernel."""
    return [
        space.guess(use, "logistic", even=True, C=10.0, balanced=True),
        space.guess(use, "rbf-svm", even=True, C=3.0, gamma=0.3, balanced=True),
        space.guess(every, "logistic", even=True, C=10.0, balanced=True),
        space.guess(every, "rbf-svm", even=True, C=3.0, gamma=0.3, balanced=True),
        space.guess(_kept(list(use), {"hog": 0}), "logistic", C=3.0, balanced=True),
        space.guess(use, "extra-trees", leaf=2, share="sqrt", balanced=True),
    ]
