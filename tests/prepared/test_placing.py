"""Where the voxels of a survey's arrays lie, kept beside them."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest

from medloop import prep, readers
from medloop.compute import Compute
from medloop.prepared import Survey, _jobs, geometry_of, survey
from medloop.types import Step

STEPS = (Step("clean"), Step("resample", {"size": [1, 32, 40]}), Step("fit", {"size": [1, 32, 40]}))
SIZES = [(57, 61), (120, 120), (24, 40), (131, 90)]


@pytest.fixture
def src(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "src"
    folder.mkdir()
    for at, size in enumerate(SIZES):
        cv2.imwrite(str(folder / f"{at}.png"), rng.integers(0, 255, size, dtype=np.uint8))
    return folder


def surveyed(src: Path, cache: Path, steps: tuple[Step, ...] = STEPS) -> Survey:
    refs = readers.collect(src, compute=Compute(0)).refs
    return survey(refs, cache=cache, steps=steps, compute=Compute(0), pictures=False)


def test_rows_are_those_of_the_preparation(src: Path, tmp_path: Path) -> None:
    shutil.copy(src / "1.png", src / "9.png")
    found = surveyed(src, tmp_path / "cache")
    geometry = geometry_of(found)
    assert len(geometry) == 5
    for row, ref in enumerate(found.refs):
        read = readers.read(ref)
        np.testing.assert_array_equal(geometry.shape[row], read.pixels.shape[2:])
        np.testing.assert_array_equal(geometry.matrix[row], prep.apply(read, STEPS).from_voxel)
    assert np.isnan(geometry.spacing_mm).all()
    part = geometry.select(np.array([3, 1]))
    np.testing.assert_array_equal(part.matrix, geometry.matrix[[3, 1]])
    np.testing.assert_array_equal(part.shape, geometry.shape[[3, 1]])


def test_of_volumes_the_spacing_too(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    pixels = np.random.default_rng(1).normal(size=(12, 14, 16)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "src" / "a.nii.gz")
    found = surveyed(tmp_path / "src", tmp_path / "cache", (Step("orient"), Step("fit", {"size": [16, 9, 9]})))
    geometry = geometry_of(found)
    np.testing.assert_array_equal(geometry.shape, [[16, 14, 12]])
    np.testing.assert_allclose(geometry.spacing_mm, [[4, 3, 2]])
    np.testing.assert_allclose(np.abs(geometry.matrix[0, :3, :3]), np.eye(3))


def test_nothing_is_read_for_it_again(src: Path, tmp_path: Path) -> None:
    found = surveyed(src, tmp_path / "cache")
    shutil.rmtree(src)
    np.testing.assert_array_equal(geometry_of(found).shape[:, 1:], SIZES)


def forget(cache: Path) -> None:
    """As a cache written before places were kept."""
    with sqlite3.connect(cache / "arrays" / "index-1.sqlite") as connection:
        assert connection.execute("DELETE FROM row WHERE key LIKE 'place/%'").rowcount == len(SIZES)
    connection.close()


def test_a_cache_without_places_stays_good(src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = surveyed(src, tmp_path / "cache")
    before = geometry_of(found)
    forget(tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(_jobs, "_row", None)  # nothing is prepared again
        again = surveyed(src, tmp_path / "cache")
    assert again.arrays is not None
    assert found.arrays is not None
    after = geometry_of(again)
    np.testing.assert_array_equal(after.matrix, before.matrix)
    np.testing.assert_array_equal(after.shape, before.shape)
    assert surveyed(src, tmp_path / "cache").arrays.paths == found.arrays.paths
    shutil.rmtree(src)
    np.testing.assert_array_equal(geometry_of(again).matrix, before.matrix)


def test_the_place_of_what_has_gone_is_unknown(src: Path, tmp_path: Path) -> None:
    found = surveyed(src, tmp_path / "cache")
    forget(tmp_path / "cache")
    (src / "1.png").unlink()
    geometry = geometry_of(found)
    assert np.isnan(geometry.matrix[1]).any()
    assert np.isfinite(geometry.matrix[[0, 2, 3]]).all()
    np.testing.assert_array_equal(geometry.shape[:, 1:], SIZES)


def test_another_preparation_has_other_places(src: Path, tmp_path: Path) -> None:
    one = geometry_of(surveyed(src, tmp_path / "cache"))
    other = geometry_of(surveyed(src, tmp_path / "cache", (Step("fit", {"size": [1, 30, 30]}),)))
    assert (one.matrix != other.matrix).any(axis=(1, 2)).all()


def test_pictures_alone_have_no_geometry(src: Path, tmp_path: Path) -> None:
    refs = readers.collect(src, compute=Compute(0)).refs
    with pytest.raises(ValueError, match="only prepared images"):
        geometry_of(survey(refs, cache=tmp_path / "cache", steps=None, compute=Compute(0)))


def test_a_geometry_is_cheap_to_send(src: Path, tmp_path: Path) -> None:
    geometry = geometry_of(surveyed(src, tmp_path / "cache"))
    many = geometry.select(np.arange(2000) % len(SIZES))
    assert len(pickle.dumps(many)) < 200 * 2000
