"""How a training has gone so far: its history, its best weights, and whether more is worth while."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from medloop.learning.plan import Plan
from medloop.types import Json


class Ended(Exception):
    """Training ends here. ``why``: as in `medloop.learning.lesson.Trained`, as is ``where``."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where


@dataclass(slots=True, eq=False)
class Course:
    """``best``: the weights that are kept, of epoch ``best_epoch``. ``peak``: the epoch of the best score, ``best_score``."""

    best: Mapping[str, Tensor]
    best_epoch: int = 0
    peak: int = 0
    best_score: float = -math.inf
    history: list[dict[str, Json]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Epochs so far."""
        return len(self.history)

    @property
    def pace(self) -> float:
        """Seconds that an epoch takes; 0 before the first."""
        return float(self.history[-1]["seconds"]) if self.history else 0.0

    def scored(self, epoch: int, score: float) -> bool:
        """Take in the score of an epoch; whether none was better."""
        better = epoch == 1 or score > self.best_score
        if better:
            self.peak, self.best_score = epoch, score
        return better

    def lost(self, patience: int) -> bool:
        """Whether as many epochs as that have gone by without a better score."""
        return 0 < patience <= self.done - self.peak

    def note(self, epoch: int, plan: Plan, loss: float) -> str:
        """For the progress line: the loss so far in this epoch, and what the validation cases said after the one before."""
        said = f"epoch {epoch} of {plan.last}, loss {loss:.3f}"
        last = self.history[-1] if self.history else {}
        for name, key in (("validation", "validation_loss"), ("score", "score")):
            if last.get(key) is not None:
                said += f", {name} {last[key]:.3f}"
        return said

    def to_json(self) -> dict[str, Json]:
        """All but the weights."""
        score = self.best_score if math.isfinite(self.best_score) else None
        return {"history": self.history, "best_epoch": self.best_epoch, "peak": self.peak, "best_score": score}

    @classmethod
    def from_json(cls, said: Mapping[str, Json], best: Mapping[str, Tensor]) -> Course:
        """The inverse of `to_json`."""
        score = -math.inf if said["best_score"] is None else float(said["best_score"])
        history = [dict(row) for row in said["history"]]
        return cls(dict(best), int(said["best_epoch"]), int(said["peak"]), score, history)
