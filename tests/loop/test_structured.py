"""Round cells with a rim and a core: learnt, judged, predicted with their outlines, by the commands a person types."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import readers
from medloop.compute import Compute
from medloop.evaluation import overlap
from medloop.families import _joint_model
from medloop.loop import _found, _runs
from tests.loop.cells import COUNT, MASKS, RECIPE, Cells, write_cells
from tests.loop.test_every_verb import rows, say


def test_a_run_of_outlines_alone_has_their_figures_and_nothing_about_classes(outlines: dict) -> None:
    figures = outlines["test"]
    assert figures["dice_whole"]["value"] > 0.6
    assert set(figures["dice"]) == {"value", "low", "high"}
    assert {"dice_rim", "dice_core", "iou", "hd95_px", "surface_dice_px"} <= set(figures)
    assert not {"auc", "accuracy"} & set(figures)
    assert outlines["subgroups"] == []
    assert [row["family"] for row in outlines["ladder"]] == ["multitask"]
    run = Path(outlines["run"])
    told = rows(run / "cases.csv")
    assert len(told) == outlines["dataset"]["split"]["test"]
    assert np.mean([float(row["dice_whole"]) for row in told]) == pytest.approx(figures["dice_whole"]["value"], abs=1e-5)
    assert all(row["truth"] == row["label"] == "" for row in rows(run / "predictions.csv"))


def test_the_report_shows_outlines_and_the_rule_they_break(outlines: dict) -> None:
    page = Path(outlines["report"]).read_text()
    for words in ("Outlining ‘rim’ and ‘core’", "Worst cases", "Best cases", "no cell is so large", "Dice, case by case"):
        assert words in page
    for words in ("Confusion matrix", "abstain", "ROC curve"):
        assert words not in page


def test_predictions_are_masks_boxes_and_measures(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    out = tmp_path / "there" / "p.csv"
    said = say(capsys, "predict", outlines["model"], cells.folder, "--images", "*.bmp", "--out", out, *cells.home)
    assert said["cases"] == COUNT
    assert said["labels"] == {}
    assert said["mask_values"] == {"rim": 128, "core": 255}
    assert said["violations"] == COUNT
    files = {row["case"]: Path(said["masks"]) / row["file"] for row in rows(Path(said["masks"]) / "files.csv")}
    assert len(files) == COUNT
    judged = {row["case"]: row for row in rows(Path(outlines["run"]) / "cases.csv")}
    for case, row in judged.items():
        found, true = (np.asarray(Pillow.open(path)) for path in (files[case], (cells.folder / case).with_suffix(".png")))
        counts = overlap.confusion(np.searchsorted([0, 128, 255], true), np.searchsorted([0, 128, 255], found), 2)
        assert overlap.dice(overlap.joined(counts))[0] == pytest.approx(float(row["dice_whole"]), abs=1e-5)
    measured = {row["case"]: row for row in rows(Path(said["measures"]))}
    parts = rows(Path(said["parts"]))
    assert {row["case"] for row in parts if row["outlined"] == "1"} == set(files)
    assert all((float(row["score"]) >= 0.5) == (row["outlined"] == "1") for row in parts)
    boxes = json.loads(Path(said["boxes"]).read_text())
    assert [each["name"] for each in boxes["categories"]] == ["rim", "core"]
    for number, (case, path) in enumerate(files.items(), 1):
        rim = int((np.asarray(Pillow.open(path)) == 128).sum())
        assert float(measured[case]["rim area (px2)"]) == rim
        areas = [each["area"] for each in boxes["annotations"] if (each["image_id"], each["category_id"]) == (number, 1)]
        assert sum(areas) == rim
        assert measured[case]["violations"].startswith("no cell is so large: ")
    again = say(capsys, "predict", outlines["model"], cells.folder, "--images", "*.bmp", "--out", out, *cells.home)
    assert again["masks"] == said["masks"]


def test_figures_of_cases_are_exported(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    said = say(capsys, "export", outlines["run"], "--out", tmp_path / "out", *cells.home[:2])
    assert {Path(file).name for file in said["files"]} == {"split.csv", "predictions.csv", "cases.csv"}


def test_evaluating_on_other_cells_judges_their_outlines(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    write_cells(tmp_path / "other", 8, seed=1)
    words = [outlines["model"], tmp_path / "other", *MASKS, "--out", tmp_path / "e"]
    said = say(capsys, "evaluate", *words, *cells.home)
    assert said["dataset"]["cases"] == 8
    assert said["test"]["dice_whole"]["value"] > 0.6
    assert len(rows(tmp_path / "e" / "cases.csv")) == 8
    assert "Outlines" in (tmp_path / "e" / "report.html").read_text()


def test_classes_beside_outlines_out_of_fold(cells: Cells, in_brief, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "once.toml").write_text(RECIPE.replace("epochs = 5", "epochs = 1"))
    words = [*cells.words, "--labels", cells.labels, "--targets", "classes,masks", "--recipe", tmp_path / "once.toml"]
    said = say(capsys, "learn", *words, "--folds", 2, "--out", tmp_path / "run", *cells.home)
    assert said["protocol"] == "out-of-fold"
    assert {"auc", "dice_whole", "dice_core"} <= set(said["test"])
    judged = {row["case"]: row for row in rows(tmp_path / "run" / "predictions.csv")}
    assert len(judged) == len(rows(tmp_path / "run" / "cases.csv")) == COUNT
    assert (judged["c00.bmp"]["truth"], judged["c01.bmp"]["truth"]) == ("", "large")
    assert judged["c00.bmp"]["label"] in ("small", "large")
    write_cells(tmp_path / "more" / "cells", 6, seed=1)
    words = [said["model"], tmp_path / "more" / "cells", *MASKS, "--labels", tmp_path / "more" / "labels.csv", *cells.home]
    find = _joint_model.MultitaskModel.find
    with monkeypatch.context() as apart:
        silent = lambda *given, **named: (dataclasses.replace(each, raw=None) for each in find(*given, **named))  # noqa: E731
        apart.setattr(_joint_model.MultitaskModel, "find", silent)
        twice = say(capsys, "evaluate", *words, "--out", tmp_path / "e1")["test"]
    monkeypatch.setattr(_joint_model.MultitaskModel, "predict", lambda *_, **__: pytest.fail("a second look"))
    once = say(capsys, "evaluate", *words, "--out", tmp_path / "e2")["test"]
    known = [name for name, each in twice.items() if each["value"] is not None]
    assert {"auc", "dice_whole"} <= set(known)
    assert [once[name]["value"] for name in known] == pytest.approx([twice[name]["value"] for name in known], abs=1e-4)


def test_runs_are_compared_by_the_outlines_of_the_cases_that_both_judged(
    outlines: dict, cells: Cells, tmp_path: Path, capsys
) -> None:
    same = say(capsys, "compare", outlines["run"], outlines["run"], *cells.home[:2])
    assert {"dice", "dice_core", "hd95_px"} <= {row["metric"] for row in same["rows"]}
    assert same["cases"] == outlines["dataset"]["split"]["test"]
    assert all(row["difference"] == 0 for row in same["rows"])
    worse = Path(shutil.copytree(outlines["run"], tmp_path / "worse"))
    told = [{**row, "dice": str(float(row["dice"]) - 0.1), "hd95_px": "9"} for row in rows(worse / "cases.csv")]
    (worse / "cases.csv").write_text(_runs.table(list(told[0]), [list(row.values()) for row in told]))
    both = {row["metric"]: row for row in say(capsys, "compare", outlines["run"], worse, *cells.home[:2])["rows"]}
    assert both["dice"]["difference"] == pytest.approx(-0.1, abs=1e-5)
    assert both["dice"]["says"] == both["hd95_px"]["says"] == "a is better."


def test_a_mask_of_another_size_is_told_and_costs_nothing(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    write_cells(tmp_path / "other", 8, seed=2)
    Pillow.fromarray(np.full((9, 9), 128, np.uint8)).save(tmp_path / "other" / "c03.png")
    said = say(capsys, "evaluate", outlines["model"], tmp_path / "other", *MASKS, "--out", tmp_path / "e", *cells.home)
    assert "c03.bmp" not in {row["case"] for row in rows(tmp_path / "e" / "cases.csv")}
    assert said["test"]["dice_whole"]["value"] > 0.6


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["learn", "{cells}", "--images", "*.bmp", "--labels", "{labels}", "--targets", "classes,masks"], "target-without-labels"),
        (["learn", "{words}", "--targets", "masks", "--recipe", "classical"], "recipe-of-classes"),
        (["learn", "{words}", "--targets", "masks,rules"], "no-rules"),
        (["learn", "{words}", "--targets", "masks", "--rules", "absent.toml"], "bad-rules"),
        (["learn", "{words}", "--labels", "{labels}", "--rules", "{labels}"], "rules-of-classes"),
        (["predict", "{model}", "{cells}", "--images", "*.bmp", "--explain"], "nothing-to-explain"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], code: str, cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    names = {"{cells}": [cells.folder], "{words}": cells.words, "{labels}": [cells.labels], "{model}": [outlines["model"]]}
    given = [each for word in words for each in names.get(word, [word])]
    out = tmp_path / ("p.csv" if words[0] == "predict" else "run")
    said = say(capsys, *given, "--out", out, *cells.home, code=2)
    assert said["error"]["code"] == code
    assert not out.exists()


def test_masks_for_a_model_without_any_are_refused(cells: Cells, plain: Path, in_brief, tmp_path: Path, capsys) -> None:
    words = [cells.folder, "--images", "*.bmp", "--labels", cells.labels, "--recipe", plain]
    plain = say(capsys, "learn", *words, "--out", tmp_path / "run", *cells.home)
    said = say(capsys, "evaluate", plain["model"], *cells.words, "--labels", cells.labels, *cells.home, code=2)
    assert said["error"]["code"] == "target-unknown-to-model"


def test_a_volume_is_no_answer_for_a_flat_model(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    nibabel.save(nibabel.Nifti1Image(np.arange(960.0, dtype=np.float32).reshape(8, 12, 10), np.eye(4)), tmp_path / "v.nii")
    said = say(capsys, "predict", outlines["model"], tmp_path / "v.nii", "--out", tmp_path / "p.csv", *cells.home, code=2)
    assert said["error"]["code"] == "no-images"
    assert "volume" in said["error"]["got"]


def test_masks_of_somebody_else_are_not_touched(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "drawn-by-hand.png").write_bytes(b"precious")
    words = ["predict", outlines["model"], cells.folder, "--images", "*.bmp", "--out", tmp_path / "p.csv", *cells.home]
    assert say(capsys, *words, code=2)["error"]["code"] == "exists"
    assert (tmp_path / "masks" / "drawn-by-hand.png").read_bytes() == b"precious"


def test_without_the_check_they_would_be(cells: Cells, outlines: dict, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "drawn-by-hand.png").write_bytes(b"precious")
    monkeypatch.setattr(_found, "_ours", lambda folder: True)
    say(capsys, "predict", outlines["model"], cells.folder, "--images", "*.bmp", "--out", tmp_path / "p.csv", *cells.home)
    assert not (tmp_path / "masks" / "drawn-by-hand.png").exists()


def test_names_of_files_are_whole_and_none_is_used_twice() -> None:
    used: set[str] = set()
    names = [
        _found.file_name(case, ".png", used) for case in ("a/b.bmp", "a/b.jpg", "a/b.JPG", "../c.nii.gz", "d.npz#train/7", "e:1")
    ]
    assert names == ["a/b.png", "a/b.jpg.png", "a/b.JPG-2.png", "c.png", "d.npz/train/7.png", "e_1.png"]


def test_predicted_masks_can_be_read_as_masks(cells: Cells, outlines: dict, tmp_path: Path, capsys) -> None:
    said = say(capsys, "predict", outlines["model"], cells.folder, "--images", "*.bmp", "--out", tmp_path / "p.csv", *cells.home)
    with Compute(0) as compute:
        found = readers.collect(said["masks"], images=None, cache=None, compute=compute)
    assert len(found.refs) == COUNT
    with (Path(said["masks"]) / "classes.csv").open() as file:
        assert {row["value"] for row in csv.DictReader(file)} == {"0", "128", "255"}
