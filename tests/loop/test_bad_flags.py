"""Flags, names, recipes and places that are wrong: each answer says what was got and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop.workspace import atomic
from tests.loop.command import Command


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--budget", "soon"], ("'soon'", "--budget 10m")),
        (["--budget", "0"], "not a length of time"),
        (["--budget", "-5"], "not a length of time"),
        (["--folds", "1"], ("--folds 1", "2 or more")),
        (["--folds", "many"], ("--folds cannot be 'many'", "--help")),
        (["--label-fraction", "0"], ("--label-fraction 0", "at most 1")),
        (["--label-fraction", "2"], "--label-fraction 2"),
        (["--label-fraction", "nan"], "--label-fraction nan"),
        (["--seed", "-1"], "--seed -1"),
        (["--workers", "-1"], "--workers -1"),
        (["--recipe", "clasical"], "Did you mean classical?"),
        (["--recipe", "no.toml"], "no such file"),
        (["--targets", "masks"], "'masks'"),
        (["--accept-leak", "patent"], ("'patent'", "patient, exact, near")),
        (["--split-lists", "nix.txt"], "nix.txt"),
        (["--images", "*.bmp"], "'*.bmp'"),
        (["--dry-rum"], ("--dry-rum", "Did you mean --dry-run")),
        (["--labels"], "--labels needs a value"),
        (["more"], "Not understood: more"),
    ],
)
def test_learn_says_which_flag_is_wrong(command, pngs, words, says) -> None:
    command.refused("learn", *pngs.words, *words, code=2, says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lern", "x"], "Did you mean learn?"),
        (["learn"], "SRC is missing"),
        (["compare", "a", "b"], "There is no run 'a'"),
        (["export", "a"], "There is no run 'a'"),
        (["predict", "a", "b"], "There is no run 'a'"),
        (["evaluate", "a", "b"], "There is no run 'a'"),
        (["sample", "phantom-tc", "x"], "Did you mean phantom-ct?"),
        (["sample", "phantom-ct", "x", "--patients", "1"], "--patients"),
    ],
)
def test_unknown_verbs_and_names(command, words, says) -> None:
    command.refused(*words, code=2, says=says)


def test_more_folds_than_patients(command, pngs) -> None:
    command.refused("learn", *pngs.words, "--folds", 70, "--budget", "4s", code=2, says=("70 folds", "groups", "--folds 5"))


def test_a_command_without_a_verb(command) -> None:
    assert "Write the verb first" in command("--workers", "2", code=2).err


def test_too_few_patients_to_learn_from(command, pngs, tmp_path: Path) -> None:
    table = tmp_path / "few.csv"
    table.write_text("".join(pngs.labels.read_text().splitlines(keepends=True)[:9]))
    words = ("learn", pngs.src, "--labels", table, "--label-fraction", 0.001, "--workers", 0)
    command.refused(*words, code=3, says=("patients", "At least two patients of every class"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("family = 'classical'", "no name"),
        ("name = 'a'\nfamly = 'classical'", "Did you mean family?"),
        ("name = 'a'\nfamily = 'clasical'", "Did you mean classical?"),
        ("name = 'a'\nfamily = 'classical'\nseed = 'x'", "seed"),
        ("name = 'a'\nfamily = 'classical'\n[[preparation]]\nstep = 'resampel'", "Did you mean resample"),
        ("name = 'a'\nfamily = 'classical'\n[[preparation]]\nstep = 'resample'\nspacing = 3", "spacing"),
        ("name = 'a'\nfamily = 'classical'\n[parameters]\nxyz = 3", "xyz"),
        ("name = 'a'\nfamily = 'classical'\n[parameters]\nfeatures = [{name = 'hogg'}]", "Did you mean hog"),
        ("name = 'a'\nfamily = 'classical'\n[parameters]\nfeatures = ['hog']", "features = "),
        ("name = 'a'\nfamily = 'classical'\n[parameters]\nestimators = ['logistics']", "Did you mean logistic"),
        ("name = 'a'\nfamily = 'classical'\n[parameters]\ntrials = 0", "trials = 0"),
        ("= =", "line 1"),
        ("", "no name"),
    ],
)
def test_a_recipe_with_a_slip(command, pngs, tmp_path: Path, text, says) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    command.refused("learn", *pngs.words, "--recipe", path, "--budget", "4s", code=2, says=says)


def test_a_recipe_that_is_no_text(command, pngs, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    command.refused("learn", *pngs.words, "--recipe", path, code=2, says="not text in UTF-8")


def test_a_folder_that_is_there_is_never_written_over(command, pngs, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for verb in ("learn", "inspect"):
        command.refused(verb, *pngs.words, "--out", tmp_path / "mine", code=2, says=("already there", "--out"))
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("verb", ["learn", "inspect"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "file").write_text("x")
    home = Command(tmp_path / "file" / "w", capsys)
    home.refused(verb, *pngs.words, code=2, says=("cannot be written", "--workspace"), kind="not-writable")
    command = Command(tmp_path / "w", capsys)
    said = command(verb, *pngs.words, "--out", tmp_path / "file" / "x", code=2)
    assert "--out" in said.err
    assert "Reading" not in said.err


def test_without_that_check_the_work_would_be_done_first(
    pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medloop.loop.inspect.ready_for", lambda path: None)
    (tmp_path / "file").write_text("x")
    said = Command(tmp_path / "w", capsys)("inspect", *pngs.words, "--out", tmp_path / "file" / "x", code=2)
    assert "Reading" in said.err


def test_an_error_of_the_disk_is_no_defect_of_ours() -> None:
    told = atomic.disk_error(OSError(28, "No space left on device"), Path("w"))
    assert told is not None
    assert told.exit_code == 2
    assert atomic.disk_error(OSError(2, "No such file"), Path("w")) is None
