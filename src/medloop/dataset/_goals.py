"""What is to be learnt of N cases: the classes or number, and structured targets, each as far as it is known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._balance import Balance, balance_of, known_of
from medloop.dataset._classes import encode, forgotten, without
from medloop.errors import InputError
from medloop.labels import Labelled
from medloop.types import Array, Integers, Target, Truth

CLASSES = "classes"
"""What ``--targets`` calls the class, the findings or the number of a label table."""
UNLABELLED = ("reconstruction", "similarity", "rules")
"""What can be learnt beside other targets without labels of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Goals:
    """``target`` with ``values`` ``(N, ...)`` as in `medloop.types.Dataset`; ``further``: truths of the same cases."""

    target: Target
    values: Array
    further: tuple[Truth, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """``(N,)``: whose value is known."""
        return known_of(self.target.kind, self.values)

    @property
    def anything(self) -> NDArray[np.bool_]:
        """``(N,)``: of whom anything is known that is learnt."""
        told = np.zeros(len(self.values), np.bool_) if self.target.kind.structured else self.known
        return np.asarray(np.logical_or.reduce([told, *(truth.known for truth in self.further)]))

    @property
    def balance(self) -> Balance:
        """What is to be balanced between the parts of a split."""
        return balance_of(self.target, self.values, self.further)

    def select(self, rows: Sequence[int] | Integers) -> Goals:
        """Those of these cases, in this order."""
        at = np.asarray(rows, dtype=np.int64)
        return Goals(self.target, self.values[at], tuple(truth.select(at) for truth in self.further))

    def leaving_out(self, classes: Collection[str]) -> Goals:
        """Without these classes: of their cases the class is not known."""
        target, values = without(self.target, self.values, classes)
        return replace(self, target=target, values=values)

    def forgetting(self, rows: NDArray[np.bool_]) -> Goals:
        """With the values of ``rows`` ``(N,)`` not known."""
        return replace(self, values=forgotten(self.target, self.values, rows))


def goals_of(labelled: Labelled, asked: Sequence[str] | None) -> Goals:
    """What the labels say of their cases, of the targets ``asked`` for (names or kinds, None: of all that they carry).

    Where nothing but ``classes`` is asked for and only structured targets are labelled, these are meant. Raises `InputError` for a
    target of which there are no labels.
    """
    plain = not labelled.target.kind.structured
    names = _checked(asked, [*([CLASSES] if plain else []), *(truth.target.name for truth in labelled.further)], labelled)
    further = tuple(truth for truth in labelled.further if {truth.target.name, truth.target.kind.value} & names)
    target = labelled.target if CLASSES in names else further[0].target
    return Goals(target, encode(target, [label.value for label in labelled.labels]), further)


def _checked(asked: Sequence[str] | None, carried: Sequence[str], labelled: Labelled) -> set[str]:
    """The names asked for that need labels. Raises `InputError`."""
    if asked is None or (tuple(asked) == (CLASSES,) and CLASSES not in carried):
        return set(carried)
    names = [name for name in asked if name not in UNLABELLED]
    known = {*carried, *(truth.target.kind.value for truth in labelled.further)}
    missing = [name for name in names if name not in known]
    if missing or not names:
        raise InputError(
            "target-without-labels",
            got=f"There are no labels of '{missing[0]}'." if missing else f"--targets names only {', '.join(asked) or 'nothing'}.",
            allowed=f"Targets that are labelled: {', '.join(carried)}; beside them {', '.join(UNLABELLED)}.",
            fix=_WAYS.get(missing[0] if missing else "", f"Write --targets {','.join(carried)}."),
        )
    return set(names)


_WAYS = {
    CLASSES: "Give a table with --labels, or leave classes out of --targets.",
    "masks": "Say which files are masks with --masks, or leave masks out of --targets.",
    "boxes": "Give the file or folder of boxes with --labels, or leave boxes out of --targets.",
    "measures": "Name the columns of measures with --label-columns, or leave measures out of --targets.",
}
