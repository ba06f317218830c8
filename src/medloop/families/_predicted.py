"""Raw scores as calibrated answers: the same for every family."""

from __future__ import annotations

from collections.abc import Sequence

from medloop.evaluation import calibration, decisions
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.types import Floats, Prediction, Target


def predicted(target: Target, raw: Floats, calibrator: Calibrator, decision: Decision, cases: Sequence[str] = ()) -> Prediction:
    """What scores ``(n, K)`` come to. Without ``cases`` they are named by their number."""
    probabilities = calibration.apply(calibrator, raw)
    decided = decisions.decide(target, probabilities, decision)
    return Prediction(named(cases, len(raw)), probabilities, decided.labels, decided.confidence, decided.abstain)


def named(cases: Sequence[str], count: int) -> tuple[str, ...]:
    """The names of ``count`` cases, numbers where there are none."""
    return tuple(cases) or tuple(str(number) for number in range(count))
