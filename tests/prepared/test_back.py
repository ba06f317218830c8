"""There and back again: masks, scores, maps and boxes between images as read and prepared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medloop import prep, readers
from medloop.compute import Compute
from medloop.errors import Unreadable
from medloop.prepared import Geometry, back, prepare_boxes, prepare_masks
from medloop.types import UNKNOWN, Image, Step, Target, TargetKind, Truth
from tests.prepared import outlined
from tests.prepared.outlined import FLAT, SOLID, dice


def geometry_after(steps: tuple[Step, ...], shape: tuple[int, ...], affine: np.ndarray | None = None) -> tuple[Geometry, Image]:
    """Of one image of noise, and the image as prepared."""
    pixels = np.random.default_rng(0).uniform(1, 200, (1, 1, *shape)).astype(np.float32)
    out = prep.apply(Image(pixels, affine_lps=affine), steps)
    matrix = np.eye(4) if out.from_voxel is None else out.from_voxel
    return Geometry(matrix[None], np.array([shape]), np.full((1, 3), np.nan)), out


@pytest.mark.parametrize(("make", "steps", "least"), [(outlined.flat, FLAT, 0.97), (outlined.solid, SOLID, 0.9)])
def test_masks_come_back(make: Callable, steps: tuple[Step, ...], least: float, tmp_path: Path) -> None:
    found, geometry = outlined.surveyed(make(tmp_path / "src"), tmp_path / "cache", steps)
    truth = outlined.truth(tmp_path / "src")
    assert found.arrays is not None
    made, _ = prepare_masks(truth, geometry, found.arrays.shape[1:], cache=tmp_path / "cache", compute=Compute(0))
    for row, ref in enumerate(truth.masks):
        assert ref is not None
        given = readers.read(ref).pixels[0, 0]
        labels = made.take([row])[0] % UNKNOWN
        smooth = np.stack([labels == k for k in range(3)]).astype(np.float32)
        decided = back.mask_as_read(smooth, geometry, row).argmax(axis=0).astype(np.uint8)
        for returned in (back.mask_as_read(labels, geometry, row), decided):
            assert returned.dtype == np.uint8
            assert returned.shape == given.shape
            assert dice(returned == 2, given == 255) > least
            assert dice(returned > 0, given > 0) > least


def test_scores_come_back_as_scores() -> None:
    geometry, out = geometry_after(SOLID, (20, 30, 26), np.diag([-1.5, 1.2, 1.0, 1.0]))
    raw = np.random.default_rng(1).uniform(size=(3, *out.pixels.shape[2:])).astype(np.float32)
    scores = raw / raw.sum(axis=0)
    returned = back.mask_as_read(scores, geometry, 0)
    assert returned.shape == (3, 20, 30, 26)
    np.testing.assert_allclose(returned.sum(axis=0), 1, atol=1e-5)
    coarse = back.mask_as_read(np.rint(scores * 255).astype(np.uint8), geometry, 0)
    np.testing.assert_allclose(coarse, returned, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.2], ids=["parallel", "turned"])
def test_some_slices_are_those_of_the_whole(turn: float) -> None:
    geometry, out = geometry_after(SOLID, (20, 30, 26), np.diag([-1.5, 1.2, 1.0, 1.0]))
    matrix = geometry.matrix[0].copy()
    matrix[1, 2] += turn
    geometry = replace(geometry, matrix=matrix[None])
    scores = np.random.default_rng(1).uniform(size=(2, *out.pixels.shape[2:])).astype(np.float32)
    whole = back.mask_as_read(scores, geometry, 0)
    for slab in (slice(0, 3), slice(7, 8), slice(16, 20)):
        np.testing.assert_allclose(back.slab_as_read(scores, geometry, 0, slab), whole[:, slab], atol=1e-4)


def test_outside_what_was_prepared_is_background() -> None:
    geometry, out = geometry_after((Step("fit", {"size": [1, 10, 12]}),), (1, 20, 20))
    ones = np.ones(out.pixels.shape[2:], np.uint8)
    mask = back.mask_as_read(ones, geometry, 0)
    expected = np.zeros((1, 20, 20), np.uint8)
    expected[:, 5:15, 4:16] = 1
    np.testing.assert_array_equal(mask, expected)
    scores = back.mask_as_read(np.stack([np.zeros_like(ones), ones]).astype(np.float32), geometry, 0)
    np.testing.assert_array_equal(scores, np.stack([1 - expected, expected]))
    np.testing.assert_array_equal(back.map_as_read(2.5 * ones, geometry, 0), 2.5 * expected)
    np.testing.assert_array_equal(np.isnan(back.map_as_read(2.5 * ones, geometry, 0, np.nan)), expected == 0)


def test_a_smooth_map_comes_back() -> None:
    """Prepared pixels, taken back, are the image again where it is smooth."""
    z, y, x = np.indices((14, 30, 34))
    smooth = (2.0 * x + 3.0 * y - z + 50).astype(np.float32)
    affine = np.array([[0, 1.4, 0, 3], [1.2, 0, 0, 4], [0, 0, -2.0, 5], [0, 0, 0, 1]])
    out = prep.apply(
        Image(smooth[None, None], (2.0, 1.4, 1.2), affine), [Step("orient"), Step("resample", {"spacing_mm": [1.5, 1, 1.7]})]
    )
    geometry = Geometry(out.from_voxel[None], np.array([(14, 30, 34)]), np.full((1, 3), np.nan))
    returned = back.map_as_read(out.pixels[0, 0], geometry, 0)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(returned[inner], smooth[inner], atol=0.6)


def some_boxes(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = np.array(shape, float)
    low = rng.uniform(0, 0.7, (6, 3)) * size
    high = low + rng.uniform(0.05, 0.3, (6, 3)) * size
    if shape[0] == 1:
        low[:, 0], high[:, 0] = 0, 1
    return np.concatenate([low, high], axis=1)


SWAPPED = np.array([[0.0, -1.5, 0, 4], [-0.7, 0, 0, 5], [0, 0, -2.0, 6], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("steps", "shape"),
    [
        (FLAT, (1, 97, 61)),
        (FLAT, (1, 480, 640)),
        (SOLID, (20, 30, 26)),
        ((Step("orient"), Step("fit", {"size": [9, 9, 9]})), (12, 7, 5)),
    ],
)
def test_boxes_round_trip_exactly(steps: tuple[Step, ...], shape: tuple[int, ...]) -> None:
    geometry, _ = geometry_after(steps, shape, SWAPPED)
    boxes = some_boxes(shape)
    there = back.boxes_as_prepared(boxes, geometry, 0)
    assert (there[:, :3] < there[:, 3:]).all()
    np.testing.assert_allclose(back.boxes_as_read(there, geometry, 0), boxes, atol=1e-9)
    assert back.boxes_as_read(np.zeros((0, 6)), geometry, 0).shape == (0, 6)


def test_boxes_are_those_of_masks() -> None:
    """The box around labels, moved, is the box around the labels, moved."""
    geometry, out = geometry_after((Step("orient"), Step("resample", {"size": [24, 60, 80]})), (12, 40, 30), SWAPPED)
    assert out.pixels.shape[2:] == (24, 60, 80)
    box = np.array([3, 10, 6, 9, 31, 22])
    given = np.zeros((12, 40, 30), np.uint8)
    given[3:9, 10:31, 6:22] = 1
    forward = Geometry(np.linalg.inv(geometry.matrix), np.array([out.pixels.shape[2:]]), geometry.spacing_mm)
    where = np.argwhere(back.mask_as_read(given, forward, 0))
    around = np.concatenate([where.min(axis=0), where.max(axis=0) + 1])
    np.testing.assert_allclose(back.boxes_as_prepared(box[None], geometry, 0)[0], around, atol=0.51)


def test_known_boxes() -> None:
    doubled, _ = geometry_after((Step("resample", {"size": [1, 40, 60]}),), (1, 20, 30))
    np.testing.assert_allclose(back.boxes_as_prepared([[0, 5, 10, 1, 7, 30]], doubled, 0), [[0, 10, 20, 1, 14, 60]])
    flipped, _ = geometry_after((Step("orient"),), (4, 20, 30), np.diag([-1.0, 1, 1, 1]))
    np.testing.assert_allclose(back.boxes_as_prepared([[0, 5, 10, 1, 7, 30]], flipped, 0), [[0, 5, 0, 1, 7, 20]])


def test_boxes_notice_a_lost_half_voxel(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(boxes, matrix):
        edges = np.asarray(boxes, float).reshape(-1, 2, 3)[:, :, ::-1]
        moved = edges @ matrix[:3, :3].T + matrix[:3, 3]
        return np.concatenate([moved.min(axis=1)[:, ::-1], moved.max(axis=1)[:, ::-1]], axis=1)

    monkeypatch.setattr(back, "_boxes", careless)
    with pytest.raises(AssertionError):
        test_known_boxes()
    with pytest.raises(AssertionError):
        test_boxes_are_those_of_masks()


def test_what_has_no_place_does_not_come_back() -> None:
    geometry, _ = geometry_after(FLAT, (1, 30, 30))
    nowhere = replace(geometry, matrix=np.full((1, 4, 4), np.nan))
    with pytest.raises(Unreadable, match="moments in time"):
        back.mask_as_read(np.zeros((1, 112, 112), np.uint8), nowhere, 0)
    assert np.isnan(back.boxes_as_read([[0, 1, 2, 3, 4, 5]], nowhere, 0)).all()
    assert np.isnan(back.boxes_as_prepared([[0, 1, 2, 3, 4, 5]], nowhere, 0)).all()


def test_boxes_of_a_collection() -> None:
    geometry, _ = geometry_after((Step("fit", {"size": [1, 10, 10]}),), (1, 20, 20))
    both = geometry.select(np.array([0, 0, 0]))
    both.matrix[2] = np.nan
    boxes = np.array([[0, 6, 6, 1, 8, 8], [0, 0, 0, 1, 9, 9], [0, 4, 4, 1, 12, 9.0]])
    truth = Truth(
        Target(TargetKind.BOXES, ("a", "b"), name="boxes"),
        np.array([True, True, True]),
        boxes=(boxes, np.zeros((0, 6)), boxes),
        box_classes=(np.array([1, 0, 0]), np.zeros(0, np.int64), np.array([1, 0, 0])),
    )
    out = prepare_boxes(truth, both, (1, 10, 10))
    assert out.known.tolist() == [True, True, False]
    np.testing.assert_allclose(out.boxes[0], [[0, 1, 1, 1, 3, 3], [0, 0, 0, 1, 7, 4]])
    assert out.box_classes[0].tolist() == [1, 0]
    assert [len(each) for each in out.boxes] == [2, 0, 0]
    with pytest.raises(ValueError, match="as many places"):
        prepare_boxes(truth, geometry, (1, 10, 10))
