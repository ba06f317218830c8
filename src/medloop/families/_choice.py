"""Which trials become the model: the best one, or the average of a few if that is better by more than its error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medloop.families import _quality
from medloop.families._cross import Problem, Trial
from medloop.types import Floats, Target, TargetKind

_CANDIDATES = 12


def choose(problem: Problem, trials: Sequence[Trial], most: int) -> list[Trial]:
    """Heads added one by one (Caruana et al., ICML 2004), each for the best average; kept while the average is better than the
    simpler model by more than the standard error of their difference over folds."""
    done = sorted((trial for trial in trials if trial.complete), key=lambda trial: -trial.score)[:_CANDIDATES]
    chosen, scores = [done[0]], np.asarray(done[0].scores)
    while len(chosen) < most:
        found = [(trial, _scores(problem, [*chosen, trial])) for trial in done if trial not in chosen]
        if not found:
            break
        trial, better = max(found, key=lambda pair: float(np.nanmean(pair[1])))
        gain = better - scores
        if not np.nanmean(gain) > np.nanstd(gain) / np.sqrt(max(1, np.isfinite(gain).sum())):
            break
        chosen, scores = [*chosen, trial], better
    return chosen


def unit_of(target: Target, raw: Floats) -> float:
    """What makes raw scores of different estimators comparable: their spread over cases (numbers are comparable as they are)."""
    if target.kind is TargetKind.NUMBER:
        return 1.0
    centred = raw - raw.mean(axis=1, keepdims=True) if target.kind is TargetKind.MULTICLASS else raw
    return float(np.std(centred)) or 1.0


def averaged(raws: Sequence[Floats]) -> Floats:
    """The mean of several heads' scores."""
    return np.asarray(np.mean(np.stack(raws), axis=0))


def _scores(problem: Problem, trials: Sequence[Trial]) -> Floats:
    raws = [np.asarray(trial.raw) for trial in trials]
    raw = averaged([each / unit_of(problem.target, each) for each in raws])
    return _quality.fold_scores(problem.target, problem.values, raw, problem.fold, problem.groups)
