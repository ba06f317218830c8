"""The classic recipe on a small generated folder in the layout of ISIC 2019: what usually goes wrong in such scripts does not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.numpy

from medloop import recipes
from tests.loop.command import Command

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
RECIPE = "isic2019-resnet50"
_LESION = 3


def _picture(draw: np.random.Generator, kind: int) -> np.ndarray:
    """Skin with a spot, larger and darker by kind; 60 by 80 pixels."""
    soft = cv2.resize(draw.normal(0, 40, (6, 8, 3)).astype(np.float32), (80, 60), interpolation=cv2.INTER_CUBIC)
    skin = np.clip(np.array([150, 170, 200]) + soft + draw.normal(0, 6, (60, 80, 3)), 0, 255).astype(np.uint8)
    y, x = draw.integers(-8, 9, 2)
    return cv2.circle(skin, (40 + int(x), 30 + int(y)), 7 + 6 * kind, ((40, 60, 90), (60, 40, 140), (90, 90, 40))[kind], -1)


def write_isic(folder: Path, part: str, lesions: int, seed: int) -> None:
    """Three pictures of each lesion, their table of classes and their table of lesions. The kind is ``lesion % 3``."""
    draw = np.random.default_rng(seed)
    images = folder / f"ISIC_2019_{part}_Input"
    images.mkdir(parents=True)
    truth: list[list[object]] = [["image", *CLASSES]]
    facts: list[list[object]] = [["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]]
    for number in range(lesions * _LESION):
        name, lesion = f"ISIC_{seed}{number:06}", number // _LESION
        cv2.imwrite(str(images / f"{name}.jpg"), _picture(draw, lesion % 3))
        truth.append([name, *(float(place == lesion % 3) for place in range(len(CLASSES)))])
        facts.append([name, 55.0, "anterior torso", f"{part}_{lesion}", "female"])
    for kind, rows in (("GroundTruth", truth), ("Metadata", facts)):
        with (folder / f"ISIC_2019_{part}_{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def isic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("isic")
    write_isic(folder, "Training", 30, 1)
    write_isic(folder, "Test", 9, 2)
    recipe = recipes.to_json(recipes.load(RECIPE))
    recipe["parameters"] |= {"backbone": "tf_efficientnet_lite0", "side": 64, "epochs": 15, "rate": 0.005, "folds": 3}
    recipe["preparation"][2]["size"] = [1, 64, 64]
    (folder / "small.json").write_text(json.dumps(recipe))
    return folder


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "workspace", capsys)


def _words(isic: Path, part: str) -> list[str]:
    return [str(isic / f"ISIC_2019_{part}_Input"), "--labels", str(isic / f"ISIC_2019_{part}_GroundTruth.csv"), "--workers", "0"]


def test_learnt_and_judged_on_a_test_folder(isic: Path, in_brief, command: Command) -> None:
    said = command("learn", *_words(isic, "Training"), "--recipe", str(isic / "small.json"), "--json")
    learnt = said.json
    assert learnt["family"] == "transfer"
    assert learnt["dataset"]["classes"] == {"MEL": 30, "NV": 30, "BCC": 30}, "one-hot read right"
    assert learnt["dataset"]["patients"] == 30, "a lesion is one"
    for epoch in range(1, 16):
        assert f"Epoch {epoch} of 15: loss " in said.err
    assert "validation accuracy" in said.err
    run = Path(learnt["run"])
    _lesions_on_one_side(run / "split.csv")
    [trial] = json.loads((run / "search.json").read_text())
    assert trial["validation_loss"] == min(row["validation_loss"] for row in trial["history"])
    arrays = safetensors.numpy.load_file(run / "model" / "arrays.safetensors")
    assert arrays["head-0.weights"].shape[1] == 3, "the best epoch's weights are kept"
    judged = command("evaluate", run, *_words(isic, "Test"), "--json").json
    assert judged["dataset"]["cases"] == 27, "labels are there at test time"
    assert judged["test"]["accuracy"]["value"] > 0.8
    assert 0 < judged["test"]["log_loss"]["value"] < 0.7
    assert "log loss" in command("evaluate", run, *_words(isic, "Test")).out


def _lesions_on_one_side(table: Path) -> None:
    sides: dict[int, set[str]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            number = int(Path(row["case"]).stem.removeprefix("ISIC_1"))
            sides.setdefault(number // _LESION, set()).add(row["split"])
    assert len(sides) == 30
    assert {len(each) for each in sides.values()} == {1}
    assert set.union(*sides.values()) == {"train", "val", "test"}


def test_without_the_table_of_lesions_the_check_above_fails(
    isic: Path, plain: Path, in_brief, command: Command, tmp_path: Path
) -> None:
    bare = tmp_path / "bare" / "ISIC_2019_Training_GroundTruth.csv"
    bare.parent.mkdir()
    bare.write_bytes((isic / bare.name).read_bytes())
    words = [str(isic / "ISIC_2019_Training_Input"), "--labels", str(bare), "--workers", "0"]
    learnt = command("learn", *words, "--recipe", plain, "--json").json
    with pytest.raises(AssertionError):
        _lesions_on_one_side(Path(learnt["run"]) / "split.csv")


def test_resnet_50_without_a_network_says_what_to_do(isic: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(isic / "no-such-cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(isic / "no-such-cache"))
    says = ("resnet50", "tf_efficientnet_lite0", "download")
    command.refused("learn", *_words(isic, "Training"), "--recipe", RECIPE, code=2, says=says)


def test_the_recipe_is_the_classic_one_and_lies_in_one_place() -> None:
    recipe = recipes.load(RECIPE)
    assert dict(recipe.parameters) == {
        "how": "linear",
        "backbone": "resnet50",
        "side": 224,
        "flips": ["horizontal"],
        "rate": 0.001,
        "momentum": 0.9,
        "batch": 16,
        "epochs": 100,
        "validation": 0.1,
    }
    top = Path(__file__).parents[2] / "recipes" / f"{RECIPE}.toml"
    assert recipes.load(str(top)) == recipe
    assert top.samefile(Path(recipes.__file__).parent / "recipes_builtin" / top.name)
