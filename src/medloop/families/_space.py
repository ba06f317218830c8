"""What the search may choose from: which features, which estimator, with which parameters; and the guesses it starts with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medloop.families._cross import Problem
from medloop.families._heads import Spec
from medloop.families._job import FitJob
from medloop.features import Feature
from medloop.types import Json

NONE = "no"
Guess = dict[str, Any]


class Space:
    """Features by name with their choices, and estimators."""

    def __init__(self, features: Sequence[Feature], estimators: Sequence[str]) -> None:
        self.estimators = tuple(estimators)
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
        params, components = PARAMETERS[estimator](trial), 0
        even = False
        if estimator in SCALED:
            even = trial.suggest_categorical("even", [False, True]) and len(chosen) > 1
            components = trial.suggest_categorical("components", [0, 64, 256])
        return Spec(tuple(chosen), estimator, params, even, components) if chosen else None

    def guess(self, use: Mapping[str, int], estimator: str, even: bool = False, components: int = 0, **params: Json) -> Guess:
        """A configuration for Optuna's queue: ``use`` says which choice of which feature."""
        guess: Guess = {f"use {name}": str(use[name]) if name in use else NONE for name in self.choices}
        guess["estimator"] = estimator
        if estimator in SCALED:
            guess |= {"even": even, "components": components}
        return guess | {f"{estimator} {name}": value for name, value in params.items()}


def _linear(name: str) -> Callable[[Any], dict[str, Json]]:
    def suggest(trial: Any) -> dict[str, Json]:
        return {
            "C": trial.suggest_float(f"{name} C", 0.1, 1000.0, log=True),
            "balanced": trial.suggest_categorical(f"{name} balanced", [True, False]),
        }

    return suggest


def _ridge(trial: Any) -> dict[str, Json]:
    return {"alpha": trial.suggest_float("ridge alpha", 1e-3, 10.0, log=True)}


def _rbf(trial: Any) -> dict[str, Json]:
    return {
        "C": trial.suggest_float("rbf-svm C", 0.1, 100.0, log=True),
        "gamma": trial.suggest_float("rbf-svm gamma", 0.05, 2.0, log=True),
        "balanced": trial.suggest_categorical("rbf-svm balanced", [True, False]),
    }


def _forest(name: str) -> Callable[[Any], dict[str, Json]]:
    def suggest(trial: Any) -> dict[str, Json]:
        return {
            "trees": 300,
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
        "balanced": trial.suggest_categorical("boosting balanced", [True, False]),
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
SCALED = ("logistic", "ridge", "linear-svm", "rbf-svm")
"""Estimators that care for the scale of features."""


def first_guesses(space: Space, job: FitJob, problem: Problem) -> list[Guess]:
    """Configurations known to do well on such images, the cheap and safe ones first."""
    del problem
    everything = dict.fromkeys(space.choices, 0)
    cheap = {name: 0 for name in space.choices if name != "sift"}
    guesses = []
    for use in (cheap, everything):
        guesses += [
            space.guess(use, "extra-trees", leaf=2, share="sqrt", balanced=True),
            space.guess(use, "logistic", C=10.0, balanced=True),
            space.guess(use, "ridge", alpha=0.1),
            space.guess(use, "rbf-svm", C=3.0, gamma=0.3, balanced=True),
            space.guess(use, "logistic", even=True, C=10.0, balanced=True),
            space.guess(use, "rbf-svm", even=True, C=3.0, gamma=0.3, balanced=True),
        ]
    return [guess for guess in guesses if guess["estimator"] in space.estimators]
