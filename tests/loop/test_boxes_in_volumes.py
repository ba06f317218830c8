"""Balls in volumes, found as boxes of three dimensions: learnt, judged in mm, predicted, and read again as labels."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np

from medloop.loop import _telling
from tests.loop.test_every_verb import say

SHAPE, SPACING = (8, 48, 40), (3.0, 1.2, 1.5)
COUNT = 14
RECIPE = """name = "balls"
family = "multitask"

[[preparation]]
step = "normalise"
method = "percentiles"

[parameters]
side = 48
stages = [0, 1, 2]
width = 24
views = 1
folds = 1
augmentation = {flips = ["x", "y"]}
training = {epochs = 10, batch = 4, rate = 0.003}
"""


def write_balls(folder: Path, count: int, seed: int) -> Path:
    """Volumes with a bright ball or two each, and a COCO file beside the folder that says where; one volume is empty."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) + 0.5
    images, told = [], []
    for k in range(count):
        values = rng.normal(100, 12, SHAPE) + rng.uniform(0, 20)
        for _ in range(0 if k == 0 else rng.integers(1, 3)):
            middle, radius = rng.uniform((2.5, 12, 12), (5.5, 36, 28)), rng.uniform(5, 8)
            inside = (((grid - middle) * np.array(SPACING)) ** 2).sum(axis=-1) < radius**2
            values[inside] += 120
            low, high = (edge(np.argwhere(inside), axis=0) for edge in (np.min, np.max))
            z, y, x = (high + 1 - low).tolist()
            box = {"bbox": [int(low[2]), int(low[1]), x, y], "z": [int(low[0]), int(low[0]) + z]}
            told.append({"id": len(told) + 1, "image_id": k, "category_id": 1, **box})
        name = f"v{k:02}.nii.gz"
        affine = np.diag([*SPACING[::-1], 1.0])
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16).transpose(2, 1, 0), affine), folder / name)
        images.append({"id": k, "file_name": name, "width": SHAPE[2], "height": SHAPE[1], "depth": SHAPE[0]})
    path = folder.parent / f"{folder.name}.json"
    path.write_text(json.dumps({"images": images, "annotations": told, "categories": [{"id": 1, "name": "ball"}]}))
    return path


def test_boxes_of_volumes_are_learnt_judged_and_predicted(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(_telling, "_HEAT_S", 0.0)
    labels = write_balls(tmp_path / "balls", COUNT, seed=0)
    (tmp_path / "balls.toml").write_text(RECIPE)
    home = ["--workspace", tmp_path / "w", "--workers", "0"]
    words = [tmp_path / "balls", "--labels", labels, "--recipe", tmp_path / "balls.toml", "--out", tmp_path / "run"]
    learnt = say(capsys, "learn", *words, "--targets", "boxes", "--budget", "30m", *home)
    other = write_balls(tmp_path / "more", 6, seed=1)
    words = [learnt["model"], tmp_path / "more", "--labels", other, "--out", tmp_path / "e"]
    judged = {name: each["value"] for name, each in say(capsys, "evaluate", *words, *home)["test"].items()}
    assert judged["froc_1"] > 0.8
    assert judged["centre_distance_mm"] < 8
    said = say(capsys, "predict", learnt["model"], tmp_path / "more", "--out", tmp_path / "p.csv", *home)
    found = json.loads(Path(said["boxes"]).read_text())["annotations"]
    assert found
    for each in found:
        (x, y, width, height), (first, last) = each["bbox"], each["z"]
        assert 0 <= first < last <= SHAPE[0]
        assert min(x, y) >= 0
        assert (x + width, y + height) <= (SHAPE[2], SHAPE[1])
        np.testing.assert_allclose(each["size_mm"], np.multiply([width, height, last - first], SPACING[::-1]), atol=0.01)
    words[3], words[5] = said["boxes"], tmp_path / "a"
    again = {name: each["value"] for name, each in say(capsys, "evaluate", *words, *home)["test"].items()}
    assert again["map50"] == 1, "answers are read as labels, their thickness too"
    assert again["centre_distance_mm"] < 0.01
