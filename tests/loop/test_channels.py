"""Two contrasts of each case, from files to answers: what was learnt is remembered, and nothing else is answered."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medloop.cli import main
from medloop.loop._learnt import Learnt as Remembered
from medloop.types import ImageRef
from tests.loop.brief import brief
from tests.loop.command import Command

CHANNELS = "flair='*flair*',t1='*t1*'"
RECIPE = """
name = "ranges"
family = "classical"
[parameters]
features = [{ name = "intensity" }]
trials = 4
"""


@dataclass(frozen=True)
class Learnt:
    cases: Path
    run: Path
    result: dict[str, object]


def _write(folder: Path, name: str, voxels: np.ndarray, shift: float = 0.0) -> None:
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = shift
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), folder / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """Twenty people, half of them with something bright in FLAIR alone; one in five has T1 on a grid of its own."""
    home = tmp_path_factory.mktemp("contrasts")
    rng = np.random.default_rng(0)
    rows = ["case,diagnosis"]
    for number in range(20):
        folder, ill = home / "cases" / f"patient_{number:02}", number % 2 == 1
        flair, t1 = rng.normal(100, 10, (2, 12, 14, 8))
        flair[4:8, 4:8, 2:5] += 90 * ill
        _write(folder, "flair", flair)
        _write(folder, "t1", t1, shift=0.5 if number % 5 == 0 else 0.0)
        rows.append(f"patient_{number:02},{'ill' if ill else 'well'}")
    (home / "labels.csv").write_text("\n".join(rows) + "\n")
    (home / "recipe.toml").write_text(RECIPE)
    words = ["learn", home / "cases", "--labels", home / "labels.csv", "--channels", CHANNELS, "--recipe", home / "recipe.toml"]
    with brief():
        assert main([*map(str, [*words, "--workspace", home / "w", "--out", home / "run"])]) == 0
    return Learnt(home / "cases", home / "run", json.loads((home / "run" / "run.json").read_text()))


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


def test_the_model_remembers_its_channels(learnt) -> None:
    kept = json.loads((learnt.run / "model" / "learnt-from.json").read_text())
    assert (kept["channels"], kept["case_by"], kept["names"]) == (CHANNELS, None, "flair, t1")


def test_every_report_says_what_was_resampled(learnt, command) -> None:
    says = "4 of 20 cases: t1 resampled to the grid of flair (linear interpolation)."
    assert says in (learnt.run / "report.html").read_text()
    assert says in command("inspect", learnt.cases, "--channels", CHANNELS, "--workers", 0, "--json").json["warnings"]
    out = command.home.parent / "p.csv"
    assert says in command("predict", learnt.run, learnt.cases, "--out", out, "--workers", 0, "--json").json["warnings"]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows[:2]] == ["patient_00", "patient_01"]
    right = [row["label"] == ("ill" if int(row["case"][-2:]) % 2 else "well") for row in rows]
    assert np.mean(right) > 0.9


def test_the_order_of_the_flag_does_not_matter(learnt, command) -> None:
    answers = []
    for number, words in enumerate(([], ["--channels", "t1='*t1*',flair='*flair*'"])):
        out = command.home.parent / f"{number}.csv"
        command("predict", learnt.run, learnt.cases, *words, "--out", out, "--workers", 0)
        answers.append(out.read_text())
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--channels", "flair=*flair*"], "it has the channels flair, while the model learnt from the channels flair, t1"),
        (["--channels", "a=*flair*,b=*t1*"], "it has the channels a, b"),
        (["--channels", "flair=*flair*,t1=*t2*"], "it has no t1"),
        (["--case-by", "patient"], "has no group"),
    ],
)
def test_other_channels_are_refused(learnt, command, words, says) -> None:
    command.refused("predict", learnt.run, learnt.cases, *words, "--workers", 0, code=2, says=says)


def test_a_model_of_single_files_refuses_channels() -> None:
    one = ImageRef("a", "nifti", ("/a",), shape=(1, 1, 4, 5, 6))
    two = replace(one, reader="channels", facts=(("channels", "flair, t1"),))
    found = Remembered(volumes=True).kind([one, two])
    assert found.kept == (0,)
    assert found.left_out == ((1, "it has the channels flair, t1, while the model learnt from single files"),)
    assert Remembered(volumes=True, names="flair, t1").kind([one, two]).kept == (1,)
    assert Remembered().joining(None, None) is None
