from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from medloop.prepared import burnt_in
from medloop.prepared.burnt_in import text_score
from medloop.prepared.pictures import picture_of
from medloop.types import Array, Image

LINES = ("SMITH JOHN 12345678", "ID: 004711", "12/03/1964", "St. Mary Hospital", "KV 120 MA 200", "Name: Mustermann", "12:45:03")


def body(random: np.random.Generator) -> Array:
    """Like a CT slice: a smooth body on black with bright bone and noise."""
    size = int(random.integers(128, 520))
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    inside = np.hypot(rows * random.uniform(1.1, 1.5), columns) < 0.4
    organs = cv2.resize(random.normal(110, 30, (6, 6)), (size, size), interpolation=cv2.INTER_CUBIC)
    picture = np.where(inside, organs, 5) + random.normal(0, 6, (size, size))
    for _ in range(8):
        centre = tuple(int(each) for each in random.uniform(0.3, 0.7, 2) * size)
        cv2.ellipse(picture, centre, (size // 40 + 2, size // 25 + 2), float(random.uniform(0, 180)), 0, 360, 230, -1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def sector(random: np.random.Generator) -> Array:
    """Like ultrasound: speckle in a sector on black."""
    rows, columns = np.mgrid[:360, :480]
    speckle = cv2.GaussianBlur(random.gamma(1.5, 60, (360, 480)), (0, 0), 1.5)
    shades = cv2.resize(random.random((8, 8)), (480, 360), interpolation=cv2.INTER_CUBIC)
    outside = (np.hypot(rows, columns - 240) > 340) | (np.abs(np.arctan2(columns - 240, rows)) > 0.7)
    return np.where(outside, 0, np.clip(speckle * shades * 1.5, 0, 255)).astype(np.uint8)


def chest(random: np.random.Generator) -> Array:
    """Like a small X-ray that was enlarged: nothing but smooth shades."""
    size = int(random.integers(128, 600))
    return cv2.resize(random.integers(20, 235, (20, 20)).astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)


def by_opencv(picture: Array, text: str, random: np.random.Generator) -> Array:
    font = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX][random.integers(2)]
    scale = min(random.uniform(0.4, 1.2), 0.4 * picture.shape[1] / 128)
    at = (4, int(random.choice([30, picture.shape[0] - 8])))
    return np.asarray(cv2.putText(picture.copy(), text, at, font, scale, int(random.integers(225, 256)), 1, cv2.LINE_AA))


def by_pillow(picture: Array, text: str, random: np.random.Generator) -> Array:
    size = int(random.integers(11, max(12, min(36, picture.shape[1] // 11))))
    drawn = PIL.Image.fromarray(picture)
    at = (3, int(random.choice([2, picture.shape[0] - size - 5])))
    PIL.ImageDraw.Draw(drawn).text(at, text, fill=255, font=PIL.ImageFont.load_default(size))
    return np.asarray(drawn)


def pictures(make: Callable[[np.random.Generator], Array]) -> Iterator[tuple[Array, np.random.Generator]]:
    for seed in range(40):
        random = np.random.default_rng(seed)
        yield make(random), random


@pytest.mark.parametrize("make", [body, sector])
@pytest.mark.parametrize("draw", [by_opencv, by_pillow])
def test_text_is_found(make: Callable[..., Array], draw: Callable[..., Array]) -> None:
    scores = [text_score(draw(picture, LINES[random.integers(len(LINES))], random)) for picture, random in pictures(make)]
    assert np.mean([score is not None and score >= 0.5 for score in scores]) >= 0.9


@pytest.mark.parametrize("make", [body, sector, chest])
def test_pictures_without_text_raise_no_alarm(make: Callable[..., Array]) -> None:
    scores = [text_score(picture) for picture, _ in pictures(make)]
    assert np.mean([score is not None and score >= 0.5 for score in scores]) <= 0.02


def test_dark_text_and_text_in_colour_and_in_16_bits() -> None:
    paper = np.full((200, 300, 3), 230, np.uint8)
    written = cv2.putText(paper.copy(), "DOE JANE 1955", (10, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 120), 2)
    image = Image(np.moveaxis(written, -1, 0)[None, :, None], colour=True)
    assert (picture_of(image).text or 0) >= 0.5
    deep = np.random.default_rng(0).normal(300, 20, (256, 256)).astype(np.int16)
    cv2.putText(deep, "DOE JANE 1955", (10, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 4095, 1)
    assert (picture_of(Image(deep[None, None, None])).text or 0) >= 0.5


def test_a_row_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters strewn over a picture are no text; counting shapes without asking for a row takes them for it."""
    strewn = np.zeros((300, 300), np.uint8)
    for at, letter in enumerate("ABCDEFGHKMNPRSTUVWXZ"):
        place = (12 + (at * 83) % 270, 20 + 14 * at)
        cv2.putText(strewn, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    assert (text_score(strewn) or 0) < 0.5
    monkeypatch.setattr(burnt_in, "_longest_row", len)
    assert (text_score(strewn) or 0) >= 0.5


def test_small_and_huge_pictures() -> None:
    assert text_score(np.zeros((63, 500), np.uint8)) is None
    huge = np.zeros((64, 9000), np.uint8)
    assert text_score(huge) == 0
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500)).astype(np.uint8)
    assert text_score(noise) is not None


@pytest.mark.shared
def test_cells_and_smears_raise_no_alarm(shared_data: Path) -> None:
    files = [*sorted((shared_data / "wbc").rglob("*.bmp")), *sorted((shared_data / "bccd").rglob("*.jpg"))[:60]]
    scores = [text_score(np.asarray(PIL.Image.open(file).convert("L"))) for file in files]
    assert sum(score is not None and score >= 0.5 for score in scores) <= 0.02 * len(files)
