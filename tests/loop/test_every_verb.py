"""One PNG folder, one .npz and DICOM studies through every verb, by the commands a person types."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from medloop.cli import main
from tests.loop.brief import brief


def say(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict:
    """Run a command with --json; standard output must be one JSON object and nothing else."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == code, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def test_from_files_to_predictions(source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--workspace", tmp_path / "w"]
    alone = [*home, "--workers", 0]
    many = [*home, "--workers", 2 if source.labels is None else 0]
    seen = say(capsys, "inspect", *source.words, *many)
    assert seen["cases"] == source.cases
    assert seen["used"] + len(seen["rejected"]) == seen["files"]
    assert not seen["leaks"]
    assert Path(seen["report"]).read_text().startswith("<!")

    learnt = say(capsys, "learn", *source.words, *many, "--budget", "10s")
    assert learnt["protocol"] == "held-out"
    assert sum(learnt["dataset"]["split"].values()) == source.cases
    assert learnt["looks"] == 1
    assert set(learnt["test"]["auc"]) >= {"value", "low", "high"}
    assert learnt["peak_private_mb"] > 50
    run = Path(learnt["run"])
    names = {path.name for path in run.iterdir()}
    assert names == {"run.json", "recipe.toml", "model", "report.html", "split.csv", "predictions.csv", "search.json"}

    with brief():
        again = say(capsys, "learn", *source.words, *alone, "--recipe", run / "recipe.toml")
    assert again["looks"] == 2
    assert rows(run / "predictions.csv") == rows(Path(again["run"]) / "predictions.csv")

    both = say(capsys, "compare", run.name, again["run"], *home)
    assert all(row["difference"] == 0 for row in both["rows"])

    predicted = say(capsys, "predict", learnt["model"], source.src, "--out", tmp_path / "p.csv", *many)
    assert predicted["cases"] == source.cases
    table = rows(tmp_path / "p.csv")
    assert list(table[0])[:4] == ["case", "label", "confidence", "abstain"]
    judged = {row["case"]: row for row in rows(run / "predictions.csv") if row["part"] == "judged"}
    answers = {row["case"]: row for row in table}
    for case, row in judged.items():
        for column in (name for name in row if name.startswith("p_")):
            assert float(answers[case][column]) == pytest.approx(float(row[column]), abs=2e-5)

    others = say(capsys, "evaluate", run, *source.words, *many)
    assert others["dataset"]["cases"] == len(judged)
    assert any("learnt from" in warning for warning in others["warnings"])
    assert others["test"]["auc"]["value"] == pytest.approx(learnt["test"]["auc"]["value"], abs=1e-6)

    files = say(capsys, "export", run, "--as", "csv", "--out", tmp_path / "out", *home)["files"]
    assert {Path(file).name for file in files} == {"split.csv", "predictions.csv"}
    assert len(rows(tmp_path / "out" / "split.csv")) == source.cases


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_folds_judge_every_case_once(pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--workspace", tmp_path / "w"]
    learnt = say(capsys, "learn", *pngs.words, *home, "--folds", 3, "--budget", "15s")
    assert learnt["protocol"] == "out-of-fold"
    run = Path(learnt["run"])
    table = rows(run / "predictions.csv")
    assert [row["part"] for row in table] == ["judged"] * pngs.cases
    assert len({row["case"] for row in table}) == pngs.cases
    fold_of_group: dict[str, set[str]] = {}
    for row in rows(run / "split.csv"):
        fold_of_group.setdefault(row["group"], set()).add(row["split"])
    assert all(len(folds) == 1 for folds in fold_of_group.values())
    assert {fold for folds in fold_of_group.values() for fold in folds} == {"fold 1", "fold 2", "fold 3"}
    assert learnt["test"]["auc"]["value"] > 0.8
    assert say(capsys, "predict", run, pngs.src, *home, "--out", tmp_path / "p.csv")["cases"] == pngs.cases


def test_a_dry_run_writes_nothing(pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "learn", *pngs.words, "--dry-run", "--workspace", tmp_path / "w")
    assert said["dataset"]["cases"] == pngs.cases
    assert said["preparation"]
    assert said["seconds"] > 0
    assert not (tmp_path / "w").exists()


def test_another_seed_is_another_split(pngs, plain: Path, in_brief, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--workspace", tmp_path / "w", "--recipe", plain]
    one, two = (say(capsys, "learn", *pngs.words, *home, "--seed", seed) for seed in (1, 2))
    assert one["dataset"]["fingerprint"] != two["dataset"]["fingerprint"]
    assert two["looks"] == 1


def test_no_patient_identity_is_written(pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--workspace", tmp_path / "w"]
    secret = tmp_path / "labels.csv"
    secret.write_text("\n".join(_named(pngs.labels.read_text().splitlines())))
    learnt = say(capsys, "learn", pngs.src, "--labels", secret, *home, "--budget", "6s")
    say(capsys, "inspect", pngs.src, "--labels", secret, *home)
    for path in (tmp_path / "w").rglob("*"):
        assert "Zyxwv" not in path.name
        if path.is_file() and path.suffix in (".json", ".csv", ".html", ".toml"):
            assert "Zyxwv" not in path.read_text(), path
    assert learnt["dataset"]["patients"] == 60


def _named(lines: list[str]) -> list[str]:
    cut = [line.split(",") for line in lines[1:]]
    return [lines[0], *(",".join([name, f"Zyxwv^{patient}", *rest]) for name, patient, *rest in cut)]
