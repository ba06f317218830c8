"""Estimators by name: from features ``(n, D)`` and labels to a scorer. Class imbalance is met by weights (``balanced``).

Support vector machines are one against the rest, without scikit-learn's own probabilities: their scores are calibrated from
out-of-fold scores like everybody else's. Past `KERNEL_ROWS` cases the Gaussian kernel is approximated on landmarks
(Nyström; Williams and Seeger, NIPS 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, SVR, LinearSVC

from medloop.errors import unknown_name
from medloop.families._scorers import Growing, Kernel, Linear, rbf
from medloop.types import Array, Floats, Json, TargetKind

Learnt = Linear | Kernel | Growing
Params = Mapping[str, Json]
KERNEL_ROWS = 6000
"""From this many training cases on, the Gaussian kernel works on landmarks."""
LANDMARKS = 500
_ABSENT = -20.0
_STEPS = 500
_LEAVES = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What an estimator is given: ``features`` ``(n, D)`` float32; ``values`` as in `types.Dataset`, numbers standardised;
    ``classes`` K (1 for numbers)."""

    params: Params
    kind: TargetKind
    features: Floats
    values: Array
    classes: int
    seed: int = 0
    threads: int = 1

    @property
    def weight(self) -> str | None:
        """scikit-learn's ``class_weight``."""
        return "balanced" if self.params.get("balanced", True) else None

    @property
    def number(self) -> bool:
        """Whether a number is learnt."""
        return self.kind is TargetKind.NUMBER

    def number_of(self, name: str, default: float) -> float:
        """A parameter as a float."""
        return float(self.params.get(name, default))

    def count_of(self, name: str, default: int) -> int:
        """A parameter as a whole number."""
        return int(self.params.get(name, default))

    def columns(self) -> Floats:
        """One against the rest: ``(n, K)`` of 0, 1 and NaN (``(n, 1)`` for binary)."""
        if self.kind is TargetKind.MULTILABEL:
            return np.asarray(self.values, np.float64)
        if self.kind is TargetKind.BINARY:
            return np.asarray(self.values, np.float64)[:, None]
        return np.asarray((np.asarray(self.values)[:, None] == np.arange(self.classes)), np.float64)


def _each_column(task: Task, learn: Callable[[Array, Array], tuple[Floats, float]], size: int) -> tuple[Floats, Floats]:
    """``learn(rows, labels) -> (coefficients of those rows or features, bias)`` for each column: ``(size, K)`` and ``(K,)``."""
    columns = task.columns()
    weights, bias = np.zeros((size, columns.shape[1])), np.zeros(columns.shape[1])
    for place, column in enumerate(columns.T):
        rows = np.flatnonzero(~np.isnan(column))
        labels = column[rows].astype(int)
        if len(np.unique(labels)) < 2:
            bias[place] = constant(labels)
            continue
        weights[:, place], bias[place] = learn(rows, labels)
    return weights, bias


def constant(labels: Array) -> float:
    """The log-odds where all known labels are the same (or none is known)."""
    return float(np.log((labels.sum() + 0.5) / (len(labels) - labels.sum() + 0.5)))


def _logistic(task: Task) -> Learnt:
    def model() -> LogisticRegression:
        return LogisticRegression(C=task.number_of("C", 10.0), class_weight=task.weight, max_iter=_STEPS, random_state=task.seed)

    if task.kind is TargetKind.MULTICLASS:
        learnt = model().fit(task.features, task.values)
        return _all_classes(learnt.classes_, learnt.coef_.T, learnt.intercept_, task.classes)

    def learn(rows: Array, labels: Array) -> tuple[Floats, float]:
        learnt = model().fit(task.features[rows], labels)
        return learnt.coef_[0], float(learnt.intercept_[0])

    return Linear(*_each_column(task, learn, task.features.shape[1]))


def _all_classes(present: Array, weights: Floats, bias: Floats, classes: int) -> Linear:
    """Columns for every class; a class that a fold does not have gets a very low score."""
    if len(present) == 2:
        weights, bias = np.hstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    wide, shift = np.zeros((len(weights), classes)), np.full(classes, _ABSENT)
    wide[:, present], shift[present] = weights, bias
    return Linear(wide, shift)


def _linear_svm(task: Task) -> Linear:
    def learn(rows: Array, labels: Array) -> tuple[Floats, float]:
        strength = task.number_of("C", 1.0)
        model = LinearSVC(C=strength, class_weight=task.weight, dual="auto", random_state=task.seed, max_iter=_STEPS)
        learnt = model.fit(task.features[rows], labels)
        return learnt.coef_[0], float(learnt.intercept_[0])

    return Linear(*_each_column(task, learn, task.features.shape[1]))


def _rbf(task: Task) -> Learnt:
    """``gamma`` is for rows of unit mean squared length."""
    if len(task.features) > KERNEL_ROWS:
        return _landmarks(task)
    gamma = task.number_of("gamma", 0.5)
    gram = rbf(task.features, task.features, gamma)
    if task.number:
        machine = SVR(kernel="precomputed", C=task.number_of("C", 1.0), epsilon=task.number_of("epsilon", 0.1))
        learnt = machine.fit(gram, task.values)
        bias: Floats = np.asarray(learnt.intercept_, np.float64)
        dual: Floats = np.zeros((len(gram), 1))
        dual[learnt.support_, 0] = learnt.dual_coef_[0]
    else:

        def learn(rows: Array, labels: Array) -> tuple[Floats, float]:
            part = gram if len(rows) == len(gram) else gram[np.ix_(rows, rows)]
            learnt = SVC(kernel="precomputed", C=task.number_of("C", 1.0), class_weight=task.weight).fit(part, labels)
            found = np.zeros(len(gram))
            found[rows[learnt.support_]] = learnt.dual_coef_[0]
            return found, float(learnt.intercept_[0])

        dual, bias = _each_column(task, learn, len(gram))
    used = np.flatnonzero(np.any(dual != 0, axis=1))
    return Kernel(np.ascontiguousarray(task.features[used]), dual[used], bias, gamma)


def _landmarks(task: Task) -> Learnt:
    """The same form from a linear model on the kernel with some training cases, whitened."""
    gamma = task.number_of("gamma", 0.5)
    chosen = np.sort(np.random.default_rng(task.seed).permutation(len(task.features))[:LANDMARKS])
    vectors = np.ascontiguousarray(task.features[chosen])
    values, basis = np.linalg.eigh(rbf(vectors, vectors, gamma))
    whiten = (basis / np.sqrt(np.maximum(values, 1e-6))).astype(np.float64)
    rows = np.empty((len(task.features), len(chosen)), np.float32)
    for start in range(0, len(rows), 4096):
        rows[start : start + 4096] = rbf(task.features[start : start + 4096], vectors, gamma) @ whiten
    inner = replace(task, features=rows)
    learnt: Any = _ridge(inner, alpha=1 / task.number_of("C", 1.0)) if task.number else _logistic(inner)
    return Kernel(vectors, whiten @ learnt.weights, learnt.bias, gamma)


def _ridge(task: Task, alpha: float | None = None) -> Linear:
    model = Ridge(alpha=task.number_of("alpha", 0.1) if alpha is None else alpha).fit(task.features, task.values)
    return Linear(np.asarray(model.coef_, np.float64).reshape(-1, 1), np.asarray(model.intercept_, np.float64).reshape(1))


def _forest(task: Task, classifier: type[Any], regressor: type[Any]) -> Learnt:
    """A tree has at most `_LEAVES` leaves, so that forests of many cases stay small."""
    trees = task.count_of("trees", 200)
    shared = {
        "n_estimators": trees,
        "min_samples_leaf": max(task.count_of("leaf", 2), len(task.features) // _LEAVES),
        "max_features": task.params.get("share", "sqrt"),
        "random_state": task.seed,
        "n_jobs": task.threads,
    }
    if task.number:
        return _grown(task, lambda: regressor(**shared), shares=False, floor=0.0)
    return _grown(task, lambda: classifier(class_weight=task.weight, **shared), shares=True, floor=0.5 / trees)


def _boosting(task: Task) -> Learnt:
    """Without class weights (scikit-learn 1.9 then bins by weighted quantiles, 30 times slower): thresholds meet the imbalance."""
    shared = {
        "learning_rate": task.number_of("rate", 0.1),
        "max_iter": task.count_of("steps", 100),
        "max_leaf_nodes": task.count_of("leaves", 15),
        "l2_regularization": task.number_of("l2", 1.0),
        "min_samples_leaf": task.count_of("leaf", 10),
        "max_features": task.number_of("share", 0.5),
        "early_stopping": False,
        "random_state": task.seed,
    }
    if task.number:
        return _grown(task, lambda: HistGradientBoostingRegressor(**shared), shares=False, floor=0.0)
    return _grown(task, lambda: HistGradientBoostingClassifier(**shared), shares=False, floor=0.0)


def _grown(task: Task, make: Callable[[], Any], *, shares: bool, floor: float) -> Learnt:
    width = task.features.shape[1]
    whole = task.number or (task.kind is TargetKind.MULTICLASS and len(np.unique(task.values)) == task.classes)
    if whole:
        models: list[Any] = [_single(make().fit(task.features, task.values))]
        return Growing(tuple(models), shares, floor, width)
    models = []
    for column in task.columns().T:
        known = ~np.isnan(column)
        labels = column[known].astype(int)
        if len(np.unique(labels)) < 2:
            share = (labels.sum() + 0.5) / (len(labels) + 1)
            models.append(float(share) if shares else constant(labels))
        else:
            models.append(_single(make().fit(task.features[known], labels)))
    return Growing(tuple(models), shares, floor, width)


def _single(model: Any) -> Any:
    """Forests answer with one thread: with more, sums come in no fixed order."""
    if hasattr(model, "n_jobs"):
        model.n_jobs = 1
    return model


ESTIMATORS: Mapping[str, Callable[[Task], Learnt]] = {
    "logistic": _logistic,
    "ridge": _ridge,
    "linear-svm": _linear_svm,
    "rbf-svm": _rbf,
    "extra-trees": lambda task: _forest(task, ExtraTreesClassifier, ExtraTreesRegressor),
    "random-forest": lambda task: _forest(task, RandomForestClassifier, RandomForestRegressor),
    "boosting": _boosting,
}
"""By name, the simplest first."""


def suiting(kind: TargetKind) -> tuple[str, ...]:
    """The estimators that can learn such a target."""
    others = ("logistic", "linear-svm") if kind is TargetKind.NUMBER else ("ridge",)
    return tuple(name for name in ESTIMATORS if name not in others)


def fit(name: str, task: Task) -> Learnt:
    """Learn with the estimator of that name. Raises `InputError` for a name that is not there or does not suit the target."""
    if name not in suiting(task.kind):
        raise unknown_name("estimator", name, suiting(task.kind))
    return ESTIMATORS[name](task)
