"""Masks on prepared grids: they lie on what they outline, are read once, and what cannot be used is told."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from medloop import prep, readers
from medloop.compute import Compute
from medloop.prep import resample
from medloop.prepared import Geometry, PreparedMasks, geometry_of, prepare_masks, survey
from medloop.readers import labelmap
from medloop.types import UNKNOWN, Rejected, Step, Truth
from tests.prepared import outlined
from tests.prepared.outlined import FLAT, SIZES, SOLID, dice

SHAPE = (1, 112, 112)


@dataclass
class Done:
    pixels: np.ndarray
    masks: PreparedMasks
    rejected: tuple[Rejected, ...]
    geometry: Geometry
    truth: Truth


def done(folder: Path, cache: Path, steps: tuple[Step, ...] = FLAT, compute: Compute | None = None) -> Done:
    found, geometry = outlined.surveyed(folder, cache, steps)
    assert found.arrays is not None
    truth = outlined.truth(folder)
    made, rejected = prepare_masks(truth, geometry, found.arrays.shape[1:], cache=cache, compute=compute or Compute(0))
    return Done(found.arrays.take(range(len(found.refs)))[:, 0], made, rejected, geometry, truth)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return outlined.flat(tmp_path / "src")


@pytest.mark.parametrize(("make", "steps"), [(outlined.flat, FLAT), (outlined.solid, SOLID)])
def test_masks_lie_on_what_they_outline(make: Callable, steps: tuple[Step, ...], tmp_path: Path) -> None:
    had = done(make(tmp_path / "src"), tmp_path / "cache", steps)
    assert had.rejected == ()
    assert had.masks.known.all()
    labels = had.masks.take(range(len(had.masks)))
    assert labels.shape == had.pixels.shape
    assert set(np.unique(labels)) == {0, 1, 2, UNKNOWN}
    for image, mask in zip(had.pixels.astype(float), labels, strict=True):
        bright = image > (image[mask == 1].mean() + image[mask == 2].mean()) / 2
        assert dice(bright, mask == 2) > 0.97
        apart = np.subtract(ndimage.center_of_mass(bright), ndimage.center_of_mass(mask == 2))
        assert np.abs(apart).max() < 0.15


@pytest.mark.parametrize(("make", "steps"), [(outlined.flat, FLAT), (outlined.solid, SOLID)])
def test_half_a_voxel_is_seen(make: Callable, steps: tuple[Step, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling that forgets that voxels have their places in the middle."""
    monkeypatch.setattr(resample, "scaled", lambda old, new, factor: np.diag([*factor[::-1], 1.0]))
    with pytest.raises(AssertionError):
        test_masks_lie_on_what_they_outline(make, steps, tmp_path)


def test_what_lies_outside_the_image_is_unknown(folder: Path, tmp_path: Path) -> None:
    had = done(folder, tmp_path / "cache")
    wide = had.masks.take([1])[0, 0]  # 131 x 117 voxels become 112 x 100
    assert (wide[:, :5] == UNKNOWN).all()
    assert (wide[:, -5:] == UNKNOWN).all()
    assert (wide[:, 8:-8] != UNKNOWN).all()


def test_masks_are_read_once(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Compute(2, few=0) as two:
        first = done(folder, cache, compute=two)
    shutil.rmtree(folder / "masks")
    again, rejected = prepare_masks(first.truth, first.geometry, SHAPE, cache=cache, compute=Compute(0))
    assert rejected == ()
    assert again.key == first.masks.key
    np.testing.assert_array_equal(again.take(range(5)), first.masks.take(range(5)))


def test_it_goes_on_where_it_was_stopped(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = done(folder, tmp_path / "other")
    _, geometry = outlined.surveyed(folder, cache, FLAT)
    half = replace(whole.truth, known=np.arange(5) < 3)
    part, _ = prepare_masks(half, geometry, SHAPE, cache=cache, compute=Compute(0))
    assert part.known.tolist() == [True] * 3 + [False] * 2
    assert (part.take([4]) == UNKNOWN).all()
    for at in range(3):
        (folder / "masks" / f"{at}.png").unlink()
    rest, rejected = prepare_masks(whole.truth, geometry, SHAPE, cache=cache, compute=Compute(0))
    assert rejected == ()
    assert rest.key == whole.masks.key
    np.testing.assert_array_equal(rest.take(range(5)), whole.masks.take(range(5)))


def test_lost_shards_are_made_again(folder: Path, tmp_path: Path) -> None:
    first = done(folder, tmp_path / "cache")
    expected = first.masks.take(range(5))
    with first.masks.paths[0].open("r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(done(folder, tmp_path / "cache").masks.take(range(5)), expected)


def test_content_meaning_and_place_change_the_key(folder: Path, tmp_path: Path) -> None:
    first = done(folder, tmp_path / "cache")

    def other(truth: Truth, geometry: Geometry, shape: tuple[int, ...]) -> str:
        return prepare_masks(truth, geometry, shape, cache=tmp_path / "cache", compute=Compute(0))[0].key

    shutil.copytree(folder, tmp_path / "copy")
    assert other(outlined.truth(tmp_path / "copy"), first.geometry, SHAPE) == first.masks.key
    moved = replace(first.geometry, matrix=first.geometry.matrix + np.eye(4, k=3))
    lookup = ((0, 0), (128, 1), (255, 1))
    others = [
        other(replace(first.truth, lookup=lookup), first.geometry, SHAPE),
        other(first.truth, moved, SHAPE),
        other(first.truth, first.geometry, (1, 112, 100)),
        other(first.truth.select([1, 0, 2, 3, 4]), first.geometry.select(np.array([1, 0, 2, 3, 4])), SHAPE),
    ]
    cv2.imwrite(str(folder / "masks" / "0.png"), outlined.blobs(SIZES[0])[::-1])
    os.utime(folder / "masks" / "0.png", (1, 1))
    others.append(other(outlined.truth(folder), first.geometry, SHAPE))
    assert len({first.masks.key, *others}) == 6


def test_what_cannot_be_used_is_rejected_with_its_reason(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(folder / "masks" / "1.png"), outlined.blobs((130, 117)))
    content = (folder / "masks" / "3.png").read_bytes()
    truth = outlined.truth(folder)
    (folder / "masks" / "3.png").write_bytes(content[: len(content) // 2])
    _, geometry = outlined.surveyed(folder, tmp_path / "cache", FLAT)
    geometry.matrix[4] = np.nan
    for _ in range(2):
        made, rejected = prepare_masks(truth, geometry, SHAPE, cache=tmp_path / "cache", compute=Compute(0))
        reasons = {each.path: each.reason for each in rejected}
        assert list(reasons) == ["1.png", "3.png", "4.png"]
        assert reasons["1.png"] == "it has 130 x 117 voxels, its image 131 x 117"
        assert "moments in time" in reasons["4.png"]
        assert made.known.tolist() == [True, False, True, False, False]
        assert (made.take([1, 3]) == UNKNOWN).all()
        assert (made.take([0]) == 2).any()


def test_values_without_meaning_are_unknown(folder: Path, tmp_path: Path) -> None:
    first = done(folder, tmp_path / "cache")
    part, _ = prepare_masks(
        replace(first.truth, lookup=((0, 0), (255, 2))), first.geometry, SHAPE, cache=tmp_path / "cache", compute=Compute(0)
    )
    before, after = first.masks.take([0]), part.take([0])
    np.testing.assert_array_equal(after, np.where(before == 1, UNKNOWN, before))


def test_masks_are_cheap_to_send_and_to_choose_from(folder: Path, tmp_path: Path) -> None:
    made = done(folder, tmp_path / "cache").masks
    many = made.select(np.arange(3000) % 5)
    assert len(pickle.dumps(many)) < 40 * 3000
    np.testing.assert_array_equal(many.take([2999, 3]), made.take([4, 3]))
    np.testing.assert_array_equal(made.take(np.array([True, False, False, True, False])), made.take([0, 3]))


def test_an_answer_for_every_image(folder: Path, tmp_path: Path) -> None:
    had = done(folder, tmp_path / "cache")
    with pytest.raises(ValueError, match="as many places"):
        prepare_masks(had.truth.select([0, 1]), had.geometry, SHAPE, cache=tmp_path / "cache", compute=Compute(0))


@pytest.mark.shared
def test_white_blood_cells(shared_data: Path, tmp_path: Path) -> None:
    """Pictures of 33 sizes: the nucleus is the darkest part of each prepared picture, as it is of each picture as read."""
    refs = readers.collect(shared_data / "wbc", images="*.bmp", compute=Compute(0)).refs[:60]
    found = survey(refs, cache=tmp_path, steps=prep.plan(refs, side=96), compute=Compute(0), pictures=False)
    assert found.arrays is not None
    files = readers.collect(shared_data / "wbc", images="*.png", compute=Compute(0)).refs
    by_stem = {Path(ref.name).stem: labelmap.reference(ref) for ref in files}
    truth = Truth(
        outlined.TARGET, np.ones(len(found.refs), bool), tuple(by_stem[Path(ref.name).stem] for ref in found.refs), outlined.LOOKUP
    )
    made, rejected = prepare_masks(truth, geometry_of(found), found.arrays.shape[1:], cache=tmp_path, compute=Compute(0))
    assert rejected == ()
    pixels, labels = found.arrays.take(range(len(made)))[:, 1], made.take(range(len(made)))
    darker = [image[mask == 2].mean() < image[mask == 1].mean() - 20 for image, mask in zip(pixels, labels, strict=True)]
    assert np.mean(darker) > 0.95
