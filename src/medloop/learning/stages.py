"""Hierarchical supervision: first what the whole image says, then where things are, then the decision from all of it together.

Each stage is a training of its own that starts from the weights the one before it left; the epochs are shared out between them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from medloop.learning.fitting import train as train_one
from medloop.learning.lesson import Lesson, Trained
from medloop.learning.plan import Plan
from medloop.types import Json

__all__ = ["JOINT", "STAGES", "Stage", "parts", "train", "train_one"]

_ALL = frozenset({"classes", "masks", "boxes", "measures", "image", "embedding", "rules", "neighbours"})


@dataclass(frozen=True, slots=True)
class Stage:
    """``targets``: what is learnt in it, by the names of `medloop.networks.costs`. ``share``: of the epochs."""

    name: str
    targets: frozenset[str]
    share: float


JOINT = (Stage("joint", _ALL, 1.0),)
"""Everything at once."""
STAGES = (
    Stage("global", frozenset({"classes", "image"}), 0.25),
    Stage("local", frozenset({"masks", "boxes", "image", "rules", "neighbours"}), 0.35),
    Stage("decision", _ALL, 0.4),
)


def parts(course: Sequence[Stage], targets: Collection[str], epochs: int) -> list[tuple[Stage, int]]:
    """The stages in which any of ``targets`` is learnt, each with its epochs; the last ones where there are too few epochs for all.

    A stage that learns just what the next one learns is left to that one.
    """
    there = [each for each in course if each.targets & set(targets)]
    kept = [
        each
        for each, later in zip(there, [*there[1:], None], strict=True)
        if later is None or each.targets & set(targets) != later.targets & set(targets)
    ][-epochs:]
    total = sum(each.share for each in kept)
    ends = [0, *(round(epochs * sum(each.share for each in kept[: at + 1]) / total) for at in range(len(kept)))]
    for at in range(1, len(kept)):  # none goes without an epoch, also where rounding would leave it none
        ends[at] = min(max(ends[at], ends[at - 1] + 1), epochs - (len(kept) - at))
    return [(stage, end - start) for stage, start, end in zip(kept, ends, ends[1:], strict=False)]


def train(lesson: Callable[[Stage, Plan], Lesson], course: Sequence[Stage], plan: Plan, targets: Collection[str]) -> Trained:
    """All stages, one after another. ``lesson``: a stage's own, always with the same network.

    Rows of the history name their ``stage``; epochs are counted through.
    """
    trained: list[Trained] = []
    history: list[dict[str, Json]] = []
    whole = parts(course, targets, plan.epochs)
    for stage, epochs in whole:
        own = plan if len(whole) == 1 else dataclasses.replace(plan, epochs=epochs, stop_after=0)
        at_once = trained[-1].plan.at_once if trained else plan.at_once
        trained.append(train_one(lesson(stage, dataclasses.replace(own, at_once=at_once))))
        done = len(history)
        history += [{**row, "epoch": done + int(row["epoch"]), "stage": stage.name} for row in trained[-1].history]
    last = trained[-1]
    return dataclasses.replace(
        last,
        history=history,
        best_epoch=len(history) - len(last.history) + last.best_epoch,
        plan=last.plan if len(whole) == 1 else dataclasses.replace(plan, at_once=last.plan.at_once),
        seconds=sum(each.seconds for each in trained),
    )
