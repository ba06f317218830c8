"""Which trials become the model: the simplest that is as good as the best, or an average of a few that is better.

"As good" and "better" are judged by one standard error of the difference over folds (the rule of Breiman et al., Classification and
Regression Trees, 1984): what wins by less than that wins by luck, and the simpler model is the safer one on other patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medloop.families import _quality
from medloop.families._cross import Problem, Trial
from medloop.families._estimators import ESTIMATORS
from medloop.families._heads import Spec
from medloop.types import Floats, Target, TargetKind

_CANDIDATES = 12


def choose(
    problem: Problem, trials: Sequence[Trial], most: int, dear: Callable[[Spec], tuple[float, ...]] = lambda spec: ()
) -> list[Trial]:
    """At most ``most`` heads. They are added one by one, each for the best average (Caruana et al., ICML 2004).

    ``dear(spec)``: what makes features worth avoiding where others are as good; by it trials are compared first.
    """
    done = sorted((trial for trial in trials if trial.complete), key=lambda trial: -trial.score)
    best = np.asarray(done[0].scores)
    alike = [trial for trial in done if not beats(best, np.asarray(trial.scores))]
    first = min(alike, key=lambda trial: (*dear(trial.spec), *complexity(trial), -trial.score))
    chosen, scores = [first], np.asarray(first.scores)
    done = done[:_CANDIDATES]
    while len(chosen) < most:
        found = [(trial, _scores(problem, [*chosen, trial])) for trial in done if trial not in chosen]
        if not found:
            break
        trial, better = max(found, key=lambda pair: float(np.nanmean(pair[1])))
        if not beats(better, scores):
            break
        chosen, scores = [*chosen, trial], better
    return chosen


def complexity(trial: Trial) -> tuple[int, int]:
    """Features used, then how simple the estimator is."""
    return len(trial.spec.features), list(ESTIMATORS).index(trial.spec.estimator)


def unit_of(target: Target, raw: Floats) -> float:
    """What makes raw scores of different estimators comparable: their spread over cases (numbers are comparable as they are)."""
    if target.kind is TargetKind.NUMBER:
        return 1.0
    centred = raw - raw.mean(axis=1, keepdims=True) if target.kind is TargetKind.MULTICLASS else raw
    return float(np.std(centred)) or 1.0


def averaged(raws: Sequence[Floats]) -> Floats:
    """The mean of several heads' scores."""
    return np.asarray(np.mean(np.stack(raws), axis=0))


def beats(scores: Floats, others: Floats) -> bool:
    """Whether scores by fold are higher by more than the standard error of the difference."""
    gain = scores - others
    return bool(np.mean(gain) > np.std(gain, ddof=1) / np.sqrt(len(gain)))


def _scores(problem: Problem, trials: Sequence[Trial]) -> Floats:
    raws = [np.asarray(trial.raw) for trial in trials]
    raw = averaged([each / unit_of(problem.target, each) for each in raws])
    return _quality.fold_scores(problem.target, problem.values, raw, problem.fold, problem.groups)
