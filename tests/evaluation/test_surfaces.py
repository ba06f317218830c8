"""Distances of borders against MONAI's metrics, and against shifts that are known."""

import numpy as np
import pytest
from scipy import ndimage

from medloop.evaluation import surfaces
from medloop.types import UNKNOWN

GRIDS = {
    "picture": ((1, 40, 30), (1.0, 0.5, 2.0)),
    "picture without spacing": ((1, 40, 30), None),
    "volume": ((12, 20, 24), (3.0, 1.0, 0.7)),
    "two slices": ((2, 30, 30), (5.0, 1.0, 1.0)),
}


def blobs(shape, seed):
    blur = (1 if shape[0] > 2 else 0, 3, 3)
    return (ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur) > 0.02).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.5 and 1.6 warn of their own argument
@pytest.mark.parametrize("grid", GRIDS)
def test_figures_are_those_of_monai(grid):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    shape, spacing = GRIDS[grid]
    for seed in range(3):
        truth, answer = blobs(shape, seed), blobs(shape, seed + 10)
        found = surfaces.compare(truth, answer, 1, spacing, tolerance=1.5)
        flat = shape[0] == 1
        pair = [torch.from_numpy(mask.astype(bool)[None] if flat else mask.astype(bool)[None, None]) for mask in (answer, truth)]
        steps = list(spacing or (1.0, 1.0, 1.0))[1 if flat else 0 :]
        far = metrics.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=steps)
        close = metrics.compute_surface_dice(*pair, [1.5], include_background=True, spacing=steps)
        assert found.hd95[0] == pytest.approx(float(far), rel=1e-5)
        assert found.surface_dice[0] == pytest.approx(float(close), abs=1e-6)
        assert found.unit == ("mm" if spacing else "px")


def box(at=0, shape=(10, 30, 30)):
    mask = np.zeros(shape, np.uint8)
    mask[2:8, 5:25, 5 + at : 15 + at] = 1
    return mask


def test_a_shift_is_as_far_as_it_is():
    same = surfaces.compare(box(), box(), 1, (2.0, 1.0, 0.5))
    assert (same.hd95[0], same.surface_dice[0]) == (0, 1)
    assert surfaces.compare(box(), box(6), 1, (2.0, 1.0, 0.5)).hd95[0] == pytest.approx(3.0)
    assert surfaces.compare(box(), box(6), 1, None).hd95[0] == pytest.approx(6.0)


def test_a_part_of_one_slice_in_a_volume_is_a_solid():
    """All its voxels are border; in its plane only the outline would be."""
    truth, answer = np.zeros((5, 20, 20), np.uint8), np.zeros((5, 20, 20), np.uint8)
    truth[2, 4:14, 4:14] = 1
    answer[2, 4:14, 4:14] = 1
    answer[2, 8:10, 8:10] = 0
    assert surfaces.compare(truth, answer, 1, None).surface_dice[0] == 1
    plane = surfaces.compare(truth[2:3], answer[2:3], 1, None)
    assert plane.surface_dice[0] < 1


def test_what_only_one_has_what_neither_has_and_what_is_unknown():
    empty = np.zeros((10, 30, 30), np.uint8)
    only = surfaces.compare(box(), empty, 1, None)
    assert np.isnan(only.hd95[0])
    assert only.surface_dice[0] == 0
    neither = surfaces.compare(empty, empty, 2, None)
    assert np.isnan(neither.hd95).all()
    assert np.isnan(neither.surface_dice).all()
    hidden = box()
    hidden[:, :, 12:] = UNKNOWN
    assert surfaces.compare(hidden, box(), 1, None).hd95[0] == 0


def test_means_name_their_unit_and_tell_whom_they_leave_out():
    cases = [surfaces.compare(box(), box(6), 1, (2.0, 1.0, 0.5)) for _ in range(6)]
    cases += [surfaces.compare(box(), 0 * box(), 1, (2.0, 1.0, 0.5)), surfaces.compare(box(), box(4), 1, None)]
    found = surfaces.score(("lesion",), cases, np.arange(8))
    assert found["hd95_mm"].value == pytest.approx(3.0)
    assert "1 of 7 cases" in found["hd95_mm"].reason
    assert found["hd95_px"].value == pytest.approx(4.0)
    assert set(found) == {f"{name}{part}" for name in ("hd95_mm", "hd95_px", "surface_dice", "surface_dice_px")
                          for part in ("", "_lesion")}  # fmt: skip


def test_joined_classes_come_last():
    truth, answer = box(), box()
    truth[4:6, 10:20, 8:12] = 2
    found = surfaces.compare(truth, answer, 2, None)
    assert found.hd95.shape == (3,)
    assert found.surface_dice[2] == 1
    assert set(surfaces.score(("organ", "tumour"), [found] * 5, np.arange(5))) >= {"hd95_px_whole", "surface_dice_px_tumour"}


def test_the_check_of_shifts_sees_a_spacing_in_the_wrong_order(monkeypatch):
    honest = surfaces.compare
    monkeypatch.setattr(
        surfaces, "compare", lambda truth, answer, classes, spacing: honest(truth, answer, classes, spacing and spacing[::-1])
    )
    with pytest.raises(AssertionError):
        test_a_shift_is_as_far_as_it_is()
