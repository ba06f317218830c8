"""How good raw out-of-fold scores are: the one number by which configurations are chosen.

Classes: the mean of AUC (one against the rest, macro) and of balanced accuracy at the threshold (class weights) of best balanced
accuracy over all out-of-fold scores. AUC says how well cases are ranked, balanced accuracy whether decisions can be made of it,
and neither is flattered by a common class. Numbers: the share of the variance explained. Computed fold by fold, so that it has a
standard error; a fold without both classes takes the AUC over all.
"""

from __future__ import annotations

import numpy as np

from medloop.evaluation import calibration, decisions, weighted
from medloop.types import Array, Floats, Integers, Target, TargetKind

_LEAST = 1e-6


def ranking(target: Target, values: Array, raw: Floats) -> float:
    """Macro AUC of ``(n, K)`` raw scores, NaN where there is nothing to rank; for numbers (standardised) the share of the variance
    explained."""
    if target.kind is TargetKind.NUMBER:
        return 1.0 - float(np.mean((np.asarray(values, np.float64) - raw[:, 0]) ** 2))
    if target.kind is TargetKind.BINARY:
        return _auc(np.asarray(values) == 1, raw[:, 0])
    if target.kind is TargetKind.MULTICLASS:
        found = [_auc(np.asarray(values) == k, _against(raw, k)) for k in range(raw.shape[1])]
    else:
        found = [_auc(values[known, k] == 1, raw[known, k]) for k, known in enumerate(~np.isnan(values.T))]
    kept = [each for each in found if not np.isnan(each)]
    return float(np.mean(kept)) if kept else float("nan")


def fold_scores(target: Target, values: Array, raw: Floats, fold: Integers, groups: Integers) -> Floats:
    """The quality of each fold, ``(folds,)``; NaN where a fold holds too little to say."""
    each = [fold == number for number in range(int(fold.max()) + 1)]
    ranked = np.array([ranking(target, values[held], raw[held]) for held in each])
    if target.kind is TargetKind.NUMBER:
        return ranked
    ranked = np.where(np.isnan(ranked), ranking(target, values, raw), ranked)
    hits = _hits(target, values, raw, groups)
    decided = np.array([_balanced(values[held], hits[held], target) for held in each])
    return np.asarray((ranked + decided) / 2)


def surprise(target: Target, values: Array, probabilities: Floats) -> Floats:
    """``(n,)`` what each answer costs: minus the log of the probability given to the truth, over the known labels of several their
    mean; for numbers the squared error.

    A proper score (Gneiting and Raftery, JASA 2007): it sees every difference between answers, where ranks and decisions see few.
    """
    if target.kind is TargetKind.NUMBER:
        return np.asarray((np.asarray(values, np.float64) - probabilities[:, 0]) ** 2)
    if target.kind is not TargetKind.MULTILABEL:
        return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(values)), np.asarray(values, np.int64)], _LEAST)))
    given = np.where(np.asarray(values) == 1, probabilities, 1 - probabilities)
    known = ~np.isnan(np.asarray(values, np.float64))
    total = np.where(known, -np.log(np.maximum(given, _LEAST)), 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def gain(costs: Floats, less: Floats, groups: Integers) -> tuple[float, float]:
    """How much lower the costs ``less`` ``(n,)`` of the same cases are on average, and the standard error of that over groups."""
    saved = costs - less
    mean = float(saved.mean())
    _, member = np.unique(groups, return_inverse=True)
    off = np.bincount(member, saved - mean)
    return mean, float(np.sqrt((off**2).sum() * len(off) / max(len(off) - 1, 1)) / len(saved))


def _against(raw: Floats, k: int) -> Floats:
    """One class's score less the softened greatest of all: comparable from case to case."""
    top = raw.max(axis=1)
    return np.asarray(raw[:, k] - top - np.log(np.exp(raw - top[:, None]).sum(axis=1)))


def _auc(positive: Array, scores: Floats) -> float:
    if positive.all() or not positive.any():
        return float("nan")
    return float(weighted.auc(positive, scores)(np.ones((len(scores), 1)))[0])


def _hits(target: Target, values: Array, raw: Floats, groups: Integers) -> Floats:
    """``(n, columns)``: 1 where the decision is right, 0 where it is wrong, NaN where the truth is unknown."""
    if target.kind is TargetKind.MULTICLASS:
        chances = calibration.apply(calibration.fit(target, raw, values, groups), raw)
        chosen = (chances * np.asarray(decisions.class_weights(chances, values))).argmax(axis=1)
        return np.asarray(chosen == values, np.float64)[:, None]
    truth = np.asarray(values, np.float64).reshape(len(raw), -1)
    hits = np.full(truth.shape, np.nan)
    for k in range(truth.shape[1]):
        known = ~np.isnan(truth[:, k])
        if known.any():
            threshold = decisions.best_threshold(truth[known, k] == 1, raw[known, k], groups[known], rounds=0)
            hits[known, k] = (raw[known, k] >= threshold) == (truth[known, k] == 1)
    return hits


def _balanced(values: Array, hits: Floats, target: Target) -> float:
    """The mean over classes (and over columns) of the share of right decisions."""
    if target.kind is TargetKind.MULTILABEL:
        cells = [(values[:, k] == truth, k) for k in range(hits.shape[1]) for truth in (0, 1)]
        shares = [hits[rows, k].mean() for rows, k in cells if rows.any()]
    else:
        shares = [hits[values == each, 0].mean() for each in np.unique(values)]
    return float(np.mean(shares)) if shares else float("nan")
