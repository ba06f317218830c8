"""Boxes drawn on a picture: answers in full lines with class and score, truth dashed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from medloop.evaluation.rectangles import Boxes
from medloop.targets._drawing import colour
from medloop.types import Array

_TRUTH = (255, 255, 255)
_DARK = (0, 0, 0)
_DASH = 5
_LETTERS = 90
"""A picture whose shorter side has fewer pixels is drawn on without words: they would cover it."""

_Place = tuple[float, float, float, float]


def draw(rgb: Array, names: Sequence[str], found: Boxes, truth: Boxes) -> Array:
    """A new ``(Y, X, 3)`` uint8 with flat boxes on it."""
    picture = Pillow.fromarray(np.ascontiguousarray(rgb, np.uint8))
    pen = ImageDraw.Draw(picture)
    for edges in truth.edges:
        _dashed(pen, _place(edges, picture))
    worst_first = found.ranked().select(np.arange(len(found))[::-1])
    for edges, kind in zip(worst_first.edges, worst_first.classes, strict=True):
        pen.rectangle(_place(edges, picture), outline=colour(int(kind)), width=1)
    if min(picture.size) >= _LETTERS:
        font = ImageFont.load_default(size=max(9, min(picture.size) // 30))
        for edges, kind, score in zip(worst_first.edges, worst_first.classes, worst_first.scores, strict=True):
            text = f"{names[int(kind)]} {score:.2f}"
            _label(pen, _place(edges, picture), text, font, colour(int(kind)))
    return np.asarray(picture)


def _place(edges: Array, picture: Pillow.Image) -> _Place:
    """Left, top, right, bottom of the outermost pixels inside the box, kept in the picture."""
    _, y0, x0, _, y1, x1 = (float(each) for each in edges)
    right, bottom = picture.width - 1, picture.height - 1
    left, top = min(max(round(x0), 0), right), min(max(round(y0), 0), bottom)
    return left, top, min(max(round(x1) - 1, left), right), min(max(round(y1) - 1, top), bottom)


def _dashed(pen: ImageDraw.ImageDraw, place: _Place) -> None:
    """White dashes on black, so that they show on every ground."""
    left, top, right, bottom = place
    pen.rectangle(place, outline=_DARK, width=1)
    for x in np.arange(left, right + 1, 2 * _DASH):
        for y in (top, bottom):
            pen.line((x, y, min(x + _DASH - 1, right), y), fill=_TRUTH)
    for y in np.arange(top, bottom + 1, 2 * _DASH):
        for x in (left, right):
            pen.line((x, y, x, min(y + _DASH - 1, bottom)), fill=_TRUTH)


def _label(
    pen: ImageDraw.ImageDraw,
    place: _Place,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ground: tuple[int, int, int],
) -> None:
    """Above the box where there is room, else inside."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    wide, high = right - left + 2, bottom - top + 2
    x = max(0.0, min(place[0], pen.im.size[0] - wide))
    y = place[1] - high if place[1] >= high else place[1] + 1
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=ground)
    pen.text((x + 1 - left, y + 1 - top), text, fill=_DARK, font=font)
