"""Outlines of the store, read with what their values mean in the target that is learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medloop import readers
from medloop.errors import Unreadable
from medloop.readers import outline
from medloop.types import UNKNOWN
from medloop.writers import nifti, png

MASK = np.array([[0, 1, 2], [UNKNOWN, 2, 1]], np.uint8)


def test_palette_numbers_count_and_take_the_meaning_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png.mask_bytes(MASK))
    ref = outline.reference("case", file, (1, 2, 3), {0: 0, 1: 2, 2: 1})
    image = readers.read(ref)
    assert image.pixels.shape == ref.shape
    np.testing.assert_array_equal(image.pixels[0, 0, 0], [[0, 2, 1], [UNKNOWN, 1, 2]])
    fewer = outline.reference("case", file, (1, 2, 3), {0: 0, 1: 1})
    np.testing.assert_array_equal(readers.read(fewer).pixels[0, 0, 0], [[0, 1, UNKNOWN], [UNKNOWN, UNKNOWN, 1]])
    assert fewer.stamp != ref.stamp


def test_volumes_are_in_the_order_of_their_image(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(np.uint8)
    file = tmp_path / "a.nii.gz"
    file.write_bytes(nifti.mask_bytes(mask, np.diag([0.5, -0.7, 3.0, 1.0])))
    found = readers.read(outline.reference("case", file, (3, 4, 5), {0: 0, 1: 1}))
    np.testing.assert_array_equal(found.pixels[0, 0], mask)


def test_what_is_gone_or_no_mask_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="gone"):
        readers.read(outline.reference("case", tmp_path / "a.png", (1, 2, 3), {0: 0}))
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(Unreadable, match="no mask"):
        readers.read(outline.reference("case", tmp_path / "b.png", (1, 2, 3), {0: 0}))
