"""What two readers drew in the same cases is held against each other, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medloop import store
from medloop.cli.text import as_text
from medloop.loop import _drawn_twice
from medloop.loop.agreement import agreement_of
from medloop.store import Store, reviews, settings, studies
from medloop.store.records import ReviewRow, StudyRow
from medloop.types import ImageRef
from medloop.writers import png

CLASSES = ["liver", "tumour"]
SIDE = 20


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    records = store.open(tmp_path / "w")
    settings.put(records, {"readers": 2}, "test")
    yield records
    records.close()


def case(opened: Store, number: int) -> int:
    ref = ImageRef(name="a.png", reader="raster", files=(), shape=(1, 1, 1, SIDE, SIDE))
    row = StudyRow(name=f"{number}.png", content=f"{number}", patient=f"p{number}", state="ready", refs=(ref,))
    return studies.add(opened, row, "test")[0]


def outline(opened: Store, width: int, tumour: bool = False) -> dict:
    """The liver is so many columns wide, the tumour a corner of it."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, :width] = 1
    if tumour:
        mask[:4, :4] = 2
    return {"masks": {"blob": opened.blobs.put(png.mask_bytes(mask), ".png"), "classes": CLASSES}}


def boxes(*edges: tuple[float, float]) -> dict:
    """Boxes of the second class, ten voxels high, from one column to another."""
    each = [{"z0": 0, "y0": 0, "x0": low, "z1": 1, "y1": 10, "x1": high, "class": 1} for low, high in edges]
    return {"boxes": {"classes": CLASSES, "boxes": each}}


def draw(opened: Store, number: int, author: str, findings: dict) -> ReviewRow:
    said = ReviewRow(case_id=number, author=author, action="correct", value="well", findings=findings)
    return reviews.commit(opened, said, seen=reviews.head(opened, number))


def test_outlines_are_compared_by_class_over_patients(opened: Store) -> None:
    for number in range(6):
        one = case(opened, number)
        draw(opened, one, "ann", outline(opened, 10, tumour=number == 0))
        draw(opened, one, "ben", outline(opened, 10 if number % 2 else 5))
    draw(opened, case(opened, 9), "ann", outline(opened, 10))
    (row,) = agreement_of(opened).drawn
    assert (row["a"], row["b"], row["target"], row["figure"], row["cases"]) == ("ann", "ben", "masks", "dice", 6)
    liver, tumour = row["classes"]
    halves = [2 * 84 / (184 + 100), 1, 2 * 100 / 300, 1, 2 * 100 / 300, 1]  # 5 of 10 columns, once with 16 pixels of tumour in them
    assert liver["value"] == pytest.approx(np.mean(halves))
    assert liver["low"] < liver["value"] < liver["high"]
    assert (tumour["cases"], tumour["value"]) == (1, 0)
    assert row["value"] == pytest.approx(np.mean([liver["value"], tumour["value"]]))
    assert f"ann and ben, masks: Dice {row['value']:.2f}" in as_text(agreement_of(opened))


def test_boxes_are_paired_and_what_only_one_drew_counts(opened: Store) -> None:
    one = case(opened, 0)
    draw(opened, one, "ann", boxes((0, 10), (12, 14)))
    draw(opened, one, "ben", boxes((5, 10)))
    (row,) = agreement_of(opened).drawn
    liver, tumour = row["classes"]
    assert (row["figure"], liver["value"], liver["reason"]) == ("iou", None, "neither drew it")
    assert tumour["value"] == pytest.approx(0.5 / 2)
    assert (tumour["low"], row["cases"]) == (None, 1)


def test_the_last_drawing_of_a_reader_counts_and_undone_ones_do_not(opened: Store) -> None:
    one = case(opened, 0)
    draw(opened, one, "ann", outline(opened, 10))
    draw(opened, one, "ben", outline(opened, 5))
    later = draw(opened, one, "ben", outline(opened, 10))
    assert agreement_of(opened).drawn[0]["value"] == 1
    reviews.undo(opened, later.id, "ben")
    assert agreement_of(opened).drawn[0]["value"] == pytest.approx(2 / 3)


def test_no_outline_is_read_twice_and_a_lost_one_is_left_out(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(opened, 0)
    draw(opened, one, "ann", outline(opened, 10))
    draw(opened, one, "ben", outline(opened, 5))
    first = agreement_of(opened).drawn
    read: list[int] = []
    monkeypatch.setattr(_drawn_twice, "truth_of", lambda *asked: read.append(1))
    assert agreement_of(opened).drawn == first
    assert not read
    monkeypatch.undo()
    two = case(opened, 1)
    lost = outline(opened, 7)
    draw(opened, two, "ann", lost)
    draw(opened, two, "ben", outline(opened, 10))
    opened.blobs.path(lost["masks"]["blob"]).unlink()
    assert agreement_of(opened).drawn == first


def test_swapped_classes_are_seen(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison fails where the classes' order in one drawing is not heeded."""

    def value() -> float:
        return agreement_of(opened).drawn[0]["value"]

    one = case(opened, 0)
    draw(opened, one, "ann", outline(opened, 10, tumour=True))
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[:, :10], drawn[:4, :4] = 2, 1
    swapped = {"masks": {"blob": opened.blobs.put(png.mask_bytes(drawn), ".png"), "classes": CLASSES[::-1]}}
    draw(opened, one, "ben", swapped)
    assert value() == 1
    monkeypatch.setattr(_drawn_twice, "_FOLDER", "elsewhere")
    honest = _drawn_twice._drawn.truth
    monkeypatch.setattr(
        _drawn_twice._drawn,
        "truth",
        lambda target, refs, values, blobs: honest(target, refs, [each | {"classes": CLASSES} for each in values], blobs),
    )
    assert value() < 0.5
