from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medloop.cache.pictures import ROW
from medloop.errors import Unreadable
from medloop.prepared.pictures import Pictures, picture_of
from medloop.types import Image


def image(pixels: np.ndarray, *, colour: bool = False) -> Image:
    """``(Y, X)`` or ``(Y, X, 3)`` as an image."""
    flat = np.moveaxis(pixels, -1, 0)[None, :, None] if colour else pixels[None, None, None]
    return Image(pixels=np.ascontiguousarray(flat), colour=colour)


@pytest.fixture
def scene() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 70)).astype(np.uint8)


def test_digest_sees_pixels_not_number_types_or_grey_stored_as_colour(scene: np.ndarray) -> None:
    whole = picture_of(image(scene)).digest
    assert picture_of(image(scene.astype(np.float64))).digest == whole
    assert picture_of(image(scene.astype(np.int16))).digest == whole
    assert picture_of(image(np.repeat(scene[..., None], 3, axis=2), colour=True)).digest == whole
    changed = scene.copy()
    changed[3, 4] ^= 1
    assert picture_of(image(changed)).digest != whole
    assert picture_of(image(scene.reshape(70, 90))).digest != whole


def test_facts(scene: np.ndarray) -> None:
    framed = np.full((100, 80), 7, np.int16)
    framed[5:-5, 5:-5] = -1000
    picture = picture_of(image(framed))
    assert picture.border == 7
    assert (picture.low, picture.high, picture.shape) == (-1000, 7, (1, 1, 1, 100, 80))
    assert picture.mean == pytest.approx(framed.mean(), rel=1e-5)
    assert not picture.uniform
    assert picture_of(image(np.full((100, 80), 3))).uniform


def test_thumbnail_of_a_volume_is_a_volume() -> None:
    volume = np.zeros((1, 1, 30, 40, 50), np.uint8)
    volume[:, :, 15:] = 200
    thumb = picture_of(Image(pixels=volume)).thumb
    assert thumb.shape == (16, 16, 16)
    assert (thumb[:7] == 0).all()
    assert (thumb[9:] == 255).all()


def test_odd_pixels_do_not_stop_the_work() -> None:
    dots = np.full((64, 64), np.nan)
    assert picture_of(image(dots)).uniform
    dots[3:9] = np.inf
    dots[20:30] = 4
    assert picture_of(image(dots)).high == 4
    assert picture_of(image(np.zeros((1, 1), np.uint8))).text is None
    assert picture_of(image(np.zeros((2, 30000), bool))).uniform
    with pytest.raises(Unreadable, match="no pixels"):
        picture_of(image(np.zeros((0, 5))))


def test_a_table_is_saved_without_objects(scene: np.ndarray, tmp_path: Path) -> None:
    table = Pictures.of([picture_of(image(scene)), picture_of(image(np.zeros((8, 8))))])
    np.save(tmp_path / "rows.npy", table.rows, allow_pickle=False)
    back = Pictures(np.load(tmp_path / "rows.npy", allow_pickle=False, mmap_mode="r"))
    assert back.rows.dtype == ROW
    assert bytes(back.digests[0]) == picture_of(image(scene)).digest
    assert np.isnan(back.text[1])
    assert list(back.uniform) == [False, True]
    assert len(Pictures.join([table, table])) == 4
    assert len(table.select(np.array([1]))) == 1
    assert len(Pictures.of([])) == 0
