"""Label tables as they come: misspelt columns, other encodings, double rows, too few classes, no table at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import readers
from tests.loop.command import Command
from tests.loop.conftest import blob

Rows = Sequence[Sequence[str]]
Change = Callable[[int, str, str, str], Sequence[str]]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients, two pictures each."""
    folder = tmp_path_factory.mktemp("few") / "scans"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, _, label in ROWS:
        Pillow.fromarray(blob(rng, label == "sick")).save(folder / f"{name}.png")
    return folder


ROWS = [(f"p{patient}_{number}", str(patient), "sick" if patient % 2 else "well") for patient in range(8) for number in range(2)]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


def written(folder: Path, rows: Rows, *, mark: str = ",", encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes("\n".join(mark.join(row) for row in (("image", "patient", "diagnosis"), *rows)).encode(encoding))
    return path


def plan(command: Command, scans: Path, table: Path, *words: object) -> dict:
    return command("learn", scans, "--labels", table, "--dry-run", "--workers", 0, "--json", *words).json


@pytest.mark.parametrize(
    ("flag", "typed", "meant"),
    [("--id-column", "imag", "image"), ("--label-columns", "diagnosys", "diagnosis"), ("--group", "pateint", "patient")],
)
def test_a_misspelt_column_is_answered_by_the_nearest(command, scans: Path, tmp_path: Path, flag, typed, meant) -> None:
    words = ("learn", scans, "--labels", written(tmp_path, ROWS), "--dry-run", "--workers", 0, flag, typed)
    command.refused(*words, code=2, says=(flag, f"'{typed}'", f"Did you mean {meant}?"))


@pytest.mark.parametrize(("mark", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), (";", "cp1252"), ("\t", "utf-16")])
def test_tables_of_any_spreadsheet_are_read(command, scans: Path, tmp_path: Path, mark, encoding) -> None:
    rows = [(name, patient, "größer" if label == "sick" else label) for name, patient, label in ROWS]
    found = plan(command, scans, written(tmp_path, rows, mark=mark, encoding=encoding))
    assert found["dataset"]["classes"] == {"größer": 8, "well": 8}


def test_the_same_row_twice_counts_once_and_a_contradiction_not_at_all(command, scans: Path, tmp_path: Path) -> None:
    again = plan(command, scans, written(tmp_path, [*ROWS, ROWS[0]]))
    assert again["dataset"]["cases"] == 16
    assert any("did not match" in each for each in again["warnings"])
    table = written(tmp_path, [*ROWS, ("p0_0", "0", "sick")])
    assert plan(command, scans, table)["dataset"]["cases"] == 15
    problems = command("inspect", scans, "--labels", table, "--workers", 0, "--json").json["label_problems"]
    assert {each["row"] for each in problems} == {2, 18}


def test_blank_and_nan_labels_are_left_out_and_named(command, scans: Path, tmp_path: Path) -> None:
    blank = {0: "", 3: "NaN", 6: "nan", 11: "N/A"}
    rows = [(name, patient, blank.get(at, label)) for at, (name, patient, label) in enumerate(ROWS)]
    table = written(tmp_path, rows)
    assert plan(command, scans, table)["dataset"]["classes"] == {"sick": 5, "well": 7}
    problems = command("inspect", scans, "--labels", table, "--workers", 0, "--json").json["label_problems"]
    assert {each["row"] for each in problems} >= {2, 5, 8, 13}


def test_a_column_of_blanks_is_no_label(command, scans: Path, tmp_path: Path) -> None:
    table = written(tmp_path, [(name, patient, "") for name, patient, _ in ROWS])
    command.refused("learn", scans, "--labels", table, "--workers", 0, code=2, says=("'diagnosis'", "empty"))


def test_one_class_only_is_refused_by_name(command, scans: Path, tmp_path: Path) -> None:
    table = written(tmp_path, [(name, patient, "well") for name, patient, _ in ROWS])
    command.refused("learn", scans, "--labels", table, "--workers", 0, code=3, says=("'well'", "Two classes"))


def test_a_class_of_one_example_is_left_out_and_the_rest_goes_on(command, scans: Path, tmp_path: Path) -> None:
    found = plan(command, scans, written(tmp_path, [("p0_0", "0", "rare"), *ROWS[1:]]))
    assert found["dataset"]["classes"] == {"sick": 8, "well": 7}
    assert "only one patient" in found["dataset"]["left_out"]["rare"]
    assert any("'rare' is left out" in each for each in found["warnings"])


def test_numbers_mixed_with_words_end_in_a_short_answer(command, scans: Path, tmp_path: Path) -> None:
    rows = [(name, patient, f"{at * 0.37:.2f}" if at % 3 else "high") for at, (name, patient, _) in enumerate(ROWS)]
    error = command.refused(
        "learn", scans, "--labels", written(tmp_path, rows), "--workers", 0, code=3, says=("'high'", "more", "Two classes")
    )
    assert len(error["got"]) < 600


def test_rows_of_other_images_name_what_was_looked_for(command, scans: Path, tmp_path: Path) -> None:
    table = written(tmp_path, [(f"x{name}", patient, label) for name, patient, label in ROWS])
    command.refused("learn", scans, "--labels", table, "--workers", 0, code=2, says=("column 'image'", "xp0_0", "--id-column"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("labels.csv", b"", "is empty"),
        ("labels.csv", b"image,diagnosis\n", "no rows"),
        ("labels.csv", bytes(range(256)) * 40, "not text"),
        ("labels.csv", b'image,diagnosis\np0_0,well\n"p0_1,sick\np1_0,well\np1_1,sick\n', "row 3 is never closed"),
        ("labels.xlsx", b"PK\x03\x04 but no workbook", "cannot be read as a table"),
        ("labels.xlsx", b"image,diagnosis\np0_0,well\n", "cannot be read as a table"),
        ("labels.png", b"\x89PNG", "no label file"),
    ],
)
def test_what_is_no_table_is_told(command, scans: Path, tmp_path: Path, name, content, says) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    command.refused("learn", scans, "--labels", path, "--workers", 0, code=2, says=(name, says))
    command.refused("inspect", scans, "--labels", path, "--workers", 0, code=2, says=(name, says))


def test_a_table_that_is_not_there(command, scans: Path, tmp_path: Path) -> None:
    command.refused("learn", scans, "--labels", tmp_path / "nix.csv", "--workers", 0, code=2, says=("nix.csv", "spelling"))
    command.refused("learn", scans, "--labels", scans, "--workers", 0, code=2, says="Give the file itself")
    command.refused("learn", scans, "--workers", 0, code=2, says=("No labels were found", "--labels"))


def test_the_patient_called_0_is_a_patient(command, scans: Path, tmp_path: Path) -> None:
    found = plan(command, scans, written(tmp_path, ROWS))
    assert found["dataset"]["patients"] == 8


@pytest.mark.parametrize("verb", ["learn", "inspect"])
def test_a_missing_table_is_told_before_any_image_is_looked_for(command, scans: Path, tmp_path: Path, monkeypatch, verb) -> None:
    looked = []
    monkeypatch.setattr(readers, "collect", lambda *_, **__: looked.append(verb))
    command.refused(verb, scans, "--labels", tmp_path / "labelz.csv", code=2, says=("labelz.csv", "Check the spelling"))
    assert not looked
