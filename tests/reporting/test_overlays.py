"""Answer and truth drawn where they are: not turned against the picture, not beside it."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.reporting import overlay, sheets
from medloop.types import Findings, Image, Target, TargetKind

MASKS = Target(TargetKind.MASKS, ("spot",), name="masks")
BOXES = Target(TargetKind.BOXES, ("spot",), name="boxes")
NOTHING = Findings("a", mask=np.zeros((3, 30, 40), np.uint8))


def spotted(affine=None) -> tuple[Image, Findings]:
    """A volume with a bright spot in its second slice, and its mask."""
    mask = np.zeros((3, 30, 40), np.uint8)
    mask[1, 4:8, 30:36] = 1
    pixels = np.where(mask, 200, 20).astype(np.uint8)[None, None]
    return Image(pixels, spacing_mm=(3.0, 1.0, 1.0), affine_lps=affine), Findings("a", mask=mask)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_colours_lie_on_what_they_are_about(signs: tuple[int, int]) -> None:
    image, truth = spotted(np.diag([*signs, 3.0, 1.0]))
    drawn = overlay(image, MASKS, truth, truth)
    plain = overlay(image, MASKS, NOTHING, NOTHING)
    coloured = (drawn.max(axis=2).astype(int) - drawn.min(axis=2)) > 30
    rows, columns = np.nonzero(coloured)
    times = len(drawn) / 30
    y, x = (6 if signs[1] > 0 else 24) * times, (33 if signs[0] > 0 else 7) * times
    assert (rows.mean(), columns.mean()) == pytest.approx((y, x), abs=times)
    assert drawn.shape == plain.shape
    assert (plain.max(axis=2) == plain.min(axis=2)).all()


def test_the_slice_that_shows_most_is_drawn() -> None:
    image, truth = spotted()
    drawn = overlay(image, MASKS, NOTHING, truth)
    assert (drawn.max(axis=2) > drawn.min(axis=2)).any()


def test_boxes_grow_with_the_picture() -> None:
    image, _ = spotted()
    edges = np.array([[1.0, 4, 30, 2, 8, 36]])
    found = Findings("a", boxes=edges, box_classes=np.array([0]), box_scores=np.array([0.9]))
    drawn = overlay(image, BOXES, found, Findings("a", boxes=np.zeros((0, 6)), box_classes=np.zeros(0), box_scores=np.zeros(0)))
    changed = (drawn.max(axis=2) > drawn.min(axis=2))[:, int(29.5 * len(drawn) / 30) :]
    rows, columns = np.nonzero(changed)
    times = len(drawn) / 30
    assert columns.max() + int(29.5 * times) + 1 == pytest.approx(36 * times, abs=1)
    assert rows.max() + 1 == pytest.approx(8 * times, abs=1)


def test_square_pixels() -> None:
    image = Image(np.zeros((1, 1, 1, 30, 40), np.uint8), spacing_mm=(1.0, 2.0, 1.0))
    assert sheets.upright(sheets.slice_of(image, 0), image).shape == (60, 40, 3)
