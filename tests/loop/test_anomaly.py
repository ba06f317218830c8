"""What training images did not show: learnt without labels of it, judged, and written beside the predictions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from medloop.cli import main
from medloop.loop import _telling
from medloop.targets import reconstruction
from tests.loop.test_every_verb import rows, say

SIDE, COUNT = 48, 20
ODD = (slice(2, 12), slice(34, 44))
RECIPE = """name = "odd"
family = "multitask"

[parameters]
side = {side}
stages = [0, 1]
width = 8
views = 1
folds = 2
augmentation = {{}}
training = {{epochs = {epochs}, batch = 8, rate = 0.004}}
"""


def cell(rng: np.random.Generator, large: bool) -> np.ndarray:
    """A cell in the middle, on an even ground."""
    y, x = np.mgrid[:SIDE, :SIDE] - rng.uniform(22, 26, (2, 1, 1))
    inside = np.hypot(y, x) < (rng.uniform(11, 13) if large else rng.uniform(6, 8))
    return np.clip(60 + 90 * inside + rng.normal(0, 5, inside.shape), 0, 255).astype(np.uint8)


def write_cells(folder: Path, count: int, seed: int, odd: bool = False) -> None:
    """``labels.csv`` beside the folder; the mask of a picture is what is odd in it, which training pictures do not have."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["image,kind"]
    for k in range(count):
        pixels, mask = cell(rng, bool(k % 2)), np.zeros((SIDE, SIDE), np.uint8)
        if odd:
            pixels[ODD], mask[ODD] = 220, 255
        Pillow.fromarray(pixels).save(folder / f"c{k:02}.bmp")
        Pillow.fromarray(mask).save(folder / f"c{k:02}.png")
        lines.append(f"c{k:02},{'large' if k % 2 else 'small'}")
    (folder.parent / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Classes and reconstruction of plain cells."""
    root = tmp_path_factory.mktemp("plain")
    write_cells(root / "cells", COUNT, seed=0)
    (root / "odd.toml").write_text(RECIPE.format(side=SIDE, epochs=6))
    words = ["learn", root / "cells", "--images", "*.bmp", "--labels", root / "labels.csv", "--recipe", root / "odd.toml"]
    words += ["--targets", "classes,reconstruction", "--out", root / "run", "--budget", "30m"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        patch.setattr(_telling, "_HEAT_S", 0.0)
        patch.setattr(importlib.import_module("medloop.loop.learn"), "_CURVE_SHARE", 0.0)
        assert main([*map(str, words), "--workspace", str(root / "w"), "--workers", "0", "--json"]) == 0
    told = json.loads((root / "run" / "run.json").read_text())["result"]
    return told | {"home": ["--workspace", str(root / "w"), "--workers", "0"]}


def predicted(learnt: dict, folder: Path, out: Path, capsys) -> tuple[dict, np.ndarray]:
    """What the command says, and the maps ``(N, Y, X)`` that it wrote."""
    said = say(capsys, "predict", learnt["model"], folder, "--images", "*.bmp", "--out", out, *learnt["home"])
    files = rows(Path(said["anomaly"]) / "files.csv")
    return said, np.stack([np.asarray(Pillow.open(Path(said["anomaly"]) / row["file"])) for row in files])


def check_the_odd_stands_out(maps: np.ndarray) -> None:
    """In every picture: a voxel where something is that training never showed is mostly more unusual than one elsewhere."""
    inside = np.zeros(maps.shape[1:], bool)
    inside[ODD] = True
    for each in maps:
        there, elsewhere = each[inside].astype(float), each[~inside].astype(float)
        above = (there[:, None] > elsewhere).mean() + (there[:, None] == elsewhere).mean() / 2
        assert above > 0.8
        assert there.mean() > 2 * elsewhere.mean()


def test_what_training_never_showed_is_where_the_map_is_bright(learnt: dict, tmp_path: Path, capsys) -> None:
    write_cells(tmp_path / "odd" / "cells", 4, seed=1, odd=True)
    said, maps = predicted(learnt, tmp_path / "odd" / "cells", tmp_path / "found" / "p.csv", capsys)
    assert maps.shape == (4, SIDE, SIDE)
    assert maps.max() <= reconstruction.MOST / reconstruction.STEP
    check_the_odd_stands_out(maps)
    told = rows(Path(said["measures"]))
    assert [row["case"] for row in told] == [f"c{k:02}.bmp" for k in range(4)]
    means = [float(row["mean anomaly"]) for row in told]
    assert means == pytest.approx((maps.mean(axis=(1, 2)) * reconstruction.STEP).tolist(), rel=1e-4)
    write_cells(tmp_path / "usual" / "cells", 4, seed=1)
    _, usual = predicted(learnt, tmp_path / "usual" / "cells", tmp_path / "found" / "p.csv", capsys)
    assert maps[(slice(None), *ODD)].mean() > 2 * usual[(slice(None), *ODD)].mean()
    assert said["masks"] is None
    assert said["boxes"] is None
    shuffled = np.random.default_rng(0).permuted(maps.reshape(4, -1), axis=1).reshape(maps.shape)
    for wrong in (shuffled, np.zeros_like(maps), usual):
        with pytest.raises(AssertionError):
            check_the_odd_stands_out(wrong)


def test_reconstruction_is_judged_and_shown(learnt: dict, tmp_path: Path, capsys) -> None:
    assert learnt["test"]["reconstruction_error"]["value"] < 0.5
    assert learnt["test"]["anomaly_auc"] == {"value": None, "low": None, "high": None} | learnt["test"]["anomaly_auc"]
    assert "auc" in learnt["test"]
    page = Path(learnt["report"]).read_text()
    for words in ("Anomaly: what training images did not show", "Most unusual cases", "it needs no labels"):
        assert words in page
    told = rows(Path(learnt["run"]) / "cases.csv")
    assert len(told) == learnt["dataset"]["split"]["test"]
    assert all(float(row["reconstruction_error"]) > 0 for row in told)
    write_cells(tmp_path / "odd" / "cells", 6, seed=2, odd=True)
    words = [learnt["model"], tmp_path / "odd" / "cells", "--images", "*.bmp", "--labels", tmp_path / "odd" / "labels.csv"]
    other = say(capsys, "evaluate", *words, "--out", tmp_path / "e", *learnt["home"])["test"]
    assert other["reconstruction_error"]["value"] > learnt["test"]["reconstruction_error"]["value"]
    assert "Most unusual cases" in (tmp_path / "e" / "report.html").read_text()


def test_a_folder_of_somebody_else_is_left_alone(learnt: dict, tmp_path: Path, capsys) -> None:
    write_cells(tmp_path / "cells", 2, seed=1)
    (tmp_path / "anomaly").mkdir()
    (tmp_path / "anomaly" / "mine.txt").write_text("mine")
    words = ["predict", learnt["model"], tmp_path / "cells", "--images", "*.bmp", "--out", tmp_path / "p.csv"]
    assert say(capsys, *words, *learnt["home"], code=2)["error"]["code"] == "exists"
    assert (tmp_path / "anomaly" / "mine.txt").read_text() == "mine"


AFFINE = np.array([[0.0, 1.4, 0, -11], [-1.1, 0, 0, 7], [0, 0, 3.0, 40], [0, 0, 0, 1]])


def write_volume(path: Path, rng: np.random.Generator, large: bool) -> np.ndarray:
    """A ball in 6 slices of 24 by 20 pixels that are not in the order of the patient's axes."""
    z, y, x = np.mgrid[:6, :24, :20]
    at = rng.uniform(-5, 5, 3)
    inside = np.hypot(np.hypot((z - 2.5) * 3 - at[0], (y - 11) * 1.1 - at[1]), (x - 9) * 1.4 - at[2]) < (8 if large else 5)
    voxels = (100 + 300 * inside + rng.uniform(0, 8) * y + rng.normal(0, 40, inside.shape)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), AFFINE), path)
    return voxels


def test_maps_of_volumes_lie_on_the_grid_as_read_however_it_is_stored(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(_telling, "_HEAT_S", 0.0)
    monkeypatch.setattr(importlib.import_module("medloop.loop.learn"), "_CURVE_SHARE", 0.0)
    rng, folder = np.random.default_rng(0), tmp_path / "volumes"
    folder.mkdir()
    for k in range(8):
        write_volume(folder / f"v{k:02}.nii.gz", rng, bool(k % 2))
    (tmp_path / "labels.csv").write_text("image,kind\n" + "".join(f"v{k:02},{'large' if k % 2 else 'small'}\n" for k in range(8)))
    (tmp_path / "odd.toml").write_text(RECIPE.format(side=32, epochs=1))
    home = ["--workspace", tmp_path / "w", "--workers", "0"]
    words = [folder, "--labels", tmp_path / "labels.csv", "--targets", "classes,reconstruction", "--recipe", tmp_path / "odd.toml"]
    model = say(capsys, "learn", *words, "--out", tmp_path / "run", "--budget", "30m", *home)["model"]
    new = tmp_path / "new"
    new.mkdir()
    voxels = write_volume(new / "a.nii.gz", rng, True)
    stored, affine = voxels.transpose(2, 1, 0), AFFINE
    turned = stored[::-1, :, ::-1].transpose(2, 0, 1)
    flip = np.array([[0, -1, 0, 19], [0, 0, 1, 0], [-1, 0, 0, 5], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(turned), affine @ flip), new / "b.nii.gz")
    said = say(capsys, "predict", model, new, "--out", tmp_path / "p.csv", *home)
    maps = {name: nibabel.load(Path(said["anomaly"]) / f"{name}.nii.gz") for name in "ab"}
    for name, each in maps.items():
        image = nibabel.load(new / f"{name}.nii.gz")
        assert each.shape == image.shape
        np.testing.assert_allclose(each.affine, image.affine, atol=1e-4)
    one, two = (np.asarray(each.dataobj) for each in maps.values())
    assert 0 < one.max() <= reconstruction.MOST
    assert one.std() > 0.1
    np.testing.assert_allclose(two.transpose(1, 2, 0)[::-1, :, ::-1], one, atol=0.05)
    assert np.abs(two.transpose(1, 2, 0) - one).max() > 0.5, "a map that was not turned back would be noticed"
