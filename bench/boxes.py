"""How well cells are found in blood smears: average precision on the list that the data set apart.

Only this bench scores that list; choices are made inside ``train``. It takes a few minutes: the heads learn for as many epochs as
are worth while, and that does not fill the 30 minutes that are promised.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench._learning import learnt, row
from bench.core import Row, shared

SEED = 0
BUDGET = "25m"
_CLASSES = ("RBC", "WBC", "Platelets")


def rows() -> Iterator[Row]:
    """Mean average precision at an overlap of 0.5, over all overlaps, and of each class."""
    source = shared("bccd")
    lists = source / "ImageSets" / "Main"
    result = learnt(
        src=str(source),
        labels=str(source / "Annotations"),
        split_lists=f"{lists / 'train.txt'},{lists / 'val.txt'}",
        targets="boxes",
        budget=BUDGET,
        seed=SEED,
    )
    what = f"bccd boxes, multitask, {BUDGET}: list val,"
    yield row(f"{what} mean average precision at 0.5", "map50", result, seed=SEED)
    yield row(f"{what} mean average precision at 0.5 to 0.95", "map", result, seed=SEED)
    for name in _CLASSES:
        yield row(f"{what} average precision at 0.5 of {name}", f"map50_{name}", result, seed=SEED)
