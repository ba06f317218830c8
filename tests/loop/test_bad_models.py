"""Models and runs that were changed, cut, lost or come from a newer medloop; leaks that are refused and accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medloop.cli import main
from medloop.families import _saving
from tests.loop.brief import brief
from tests.loop.command import Command

Change = Callable[[bytes], bytes | None]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, pngs, plain: Path) -> Path:
    """A run."""
    folder = tmp_path_factory.mktemp("learnt") / "run"
    words = ["learn", *pngs.words, "--recipe", str(plain), "--out", str(folder)]
    with brief():
        assert main([*words, "--workspace", str(folder.parent / "w")]) == 0
    return folder


@pytest.fixture
def run(learnt: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(learnt, tmp_path / "run"))


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


def flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


CHANGES: dict[str, Change] = {"one bit": flipped, "cut": lambda content: content[: len(content) // 2], "lost": lambda _: None}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("name", ["model.json", "arrays.safetensors", "learnt-from.json"])
def test_no_changed_model_answers(command, run: Path, pngs, name: str, how: str) -> None:
    file = run / "model" / name
    content = CHANGES[how](file.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    error = command.refused("predict", run, pngs.src, "--out", run / "p.csv", code=2, says=name)
    assert error["code"] in ("model-damaged", "no-model")
    command.refused("evaluate", run, *pngs.words, code=2, says=name)
    assert not (run / "p.csv").exists()


def test_every_file_of_a_model_is_sealed(run: Path) -> None:
    head = json.loads((run / "model" / "model.json").read_text())
    assert {*head["files"], *head["beside"], "model.json"} == {path.name for path in (run / "model").iterdir()}


def test_without_the_seal_a_model_would_be_judged_by_what_it_learnt_from(
    command, run: Path, pngs, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = command("evaluate", run, *pngs.words, "--json").json["dataset"]["cases"]
    file = run / "model" / "learnt-from.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pictures": []}))
    monkeypatch.setattr(_saving, "_sha256", lambda content: "same")
    head = json.loads((run / "model" / "model.json").read_text())
    same = dict.fromkeys(head["files"], "same")
    (run / "model" / "model.json").write_text(
        json.dumps(head | {"files": same, "beside": {"learnt-from.json": "same"}, "sha256": "same"})
    )
    assert command("evaluate", run, *pngs.words, "--json").json["dataset"]["cases"] == pngs.cases > honest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format_version": 2}, "newer medloop"),
        ({"format_version": "x"}, "does not say its version"),
        ({"family": "nix"}, "family"),
        ({"files": 3}, "does not list its files"),
        ({"files": {}}, "cannot be read"),
        ({"files": {"../../secret": "0"}}, "outside the folder"),
        ({"model": {}}, "do not fit together"),
        ({"model": 3}, "do not fit together"),
    ],
)
def test_a_model_of_another_make_is_refused_even_under_a_right_seal(command, run: Path, pngs, change, says) -> None:
    path = run / "model" / "model.json"
    head = {key: value for key, value in json.loads(path.read_text()).items() if key != "sha256"} | change
    path.write_text(json.dumps(head | {"sha256": _saving._seal(head)}))
    command.refused("predict", run, pngs.src, code=2, says=says)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", "not as medloop learn wrote it"),
        ("run.json", "[]", "not as medloop learn wrote it"),
        ("run.json", '{"format": 1}', "not as medloop learn wrote it"),
        ("run.json", '{"format": 99}', "newer medloop"),
        ("predictions.csv", "a,b\n", "not as medloop learn wrote it"),
        ("predictions.csv", None, "is missing"),
    ],
)
def test_a_damaged_run_is_told(command, run: Path, name, content, says) -> None:
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    command.refused("compare", run, run, code=2, says=(name if "newer" not in says else "run", says))
    if name == "run.json" or content is None:
        command.refused("export", run, "--out", run / "out", code=2, says=says)


def test_runs_of_other_classes_are_not_compared(command, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    record = json.loads((other / "run.json").read_text())
    record["target"]["classes"] = ["cat", "dog"]
    (other / "run.json").write_text(json.dumps(record))
    command.refused("compare", run, other, code=3, says=("sick, well", "cat, dog", "the same classes"))


def test_a_folder_that_is_no_model(command, pngs, tmp_path: Path) -> None:
    command.refused("predict", tmp_path, pngs.src, code=2, says=("no model.json", "Model:"))


def test_a_patient_on_both_sides_is_refused_until_accepted_and_then_said_first(
    command, pngs, plain: Path, in_brief, tmp_path: Path
) -> None:
    table = tmp_path / "split.csv"
    lines = pngs.labels.read_text().splitlines()
    parts = ["split", *("test" if row % 4 == 1 else "train" for row in range(len(lines) - 1))]
    table.write_text("\n".join(f"{line},{part}" for line, part in zip(lines, parts, strict=True)))
    words = ("learn", pngs.src, "--labels", table, "--recipe", plain)
    command.refused(*words, code=3, says=("patient", "--accept-leak patient"), kind="leak")
    command.refused(*words, "--accept-leak", "near", code=3, says="--accept-leak")
    leaks = command("inspect", pngs.src, "--labels", table, "--json").json["leaks"]
    assert {each["kind"] for each in leaks} == {"patient"}
    learnt = command(*words, "--accept-leak", "patient", "--json").json
    assert learnt["accepted_leaks"] == [
        f"{len(leaks)} patient leaks into the test split were accepted: the figures flatter the model."
    ]
    page = Path(learnt["report"]).read_text()
    first_screen = page[: page.index('id="figures"')]
    first_notice = first_screen[first_screen.index('<li class="notice') :].split("</li>")[0]
    assert "leaks into the test split were accepted" in first_notice
    text = command(*words, "--accept-leak", "patient").out
    assert text.index("leaks into the test split were accepted") < text.index("auc")
