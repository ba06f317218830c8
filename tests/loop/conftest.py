"""Three small collections of one kind each: a folder of PNG with a table, an .npz in MedMNIST layout, DICOM studies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import store
from medloop.cli import main
from medloop.compute import local
from medloop.loop._messages import QUEUE
from medloop.samples import phantom_ct
from medloop.store import Store
from medloop.workspace import Workspace
from tests.loop.brief import PLAIN, brief
from tests.loop.cells import COUNT, RECIPE, RULES, Cells, write_cells


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of a test's own, whose jobs wait in it whatever the environment says."""
    monkeypatch.setenv(QUEUE, "")
    return Workspace(tmp_path / "w")


@pytest.fixture
def opened(home: Workspace) -> Iterator[Store]:
    """Its store."""
    made = store.open(home.root)
    yield made
    made.close()


@dataclass(frozen=True)
class Source:
    src: Path
    labels: Path | None
    cases: int

    @property
    def words(self) -> list[str]:
        return [str(self.src), *(["--labels", str(self.labels)] if self.labels else [])]

    @property
    def options(self) -> dict[str, str]:
        return {"labels": str(self.labels)} if self.labels else {}


def blob(rng: np.random.Generator, sick: bool, side: int = 40) -> np.ndarray:
    """A noisy disc; a sick one has a bright spot in it, mostly."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    cy, cx = rng.normal(0, 2, 2)
    picture = 90.0 * (np.hypot(y - cy, x - cx) < rng.uniform(11, 15)) + 40
    if sick:
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 7)
        picture += rng.uniform(25, 90) * (
            np.hypot(y - cy - far * np.sin(angle), x - cx - far * np.cos(angle)) < rng.uniform(2.5, 4)
        )
    return np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)


def write_pngs(folder: Path, patients: int, seed: int) -> Source:
    """Two pictures a patient, half of the patients sick; ``labels.csv`` beside the folder of images."""
    rng = np.random.default_rng(seed)
    (folder / "scans").mkdir(parents=True)
    lines = ["image,patient,diagnosis,sex"]
    for patient in range(patients):
        sick = patient % 2 == 1
        for number in range(2):
            name = f"p{patient:03}_{number}"
            Pillow.fromarray(blob(rng, sick)).save(folder / "scans" / f"{name}.png")
            lines.append(f"{name},{patient},{'sick' if sick else 'well'},{'F' if rng.random() < 0.5 else 'M'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return Source(folder / "scans", folder / "labels.csv", 2 * patients)


@pytest.fixture(autouse=True, scope="module")
def _in_this_process() -> Iterator[None]:
    """Where a test does not ask for workers there are none: to start two costs more than such small collections take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 0)
        yield


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of the quickest model."""
    path = tmp_path_factory.mktemp("recipe") / "plain.toml"
    path.write_text(PLAIN)
    return path


@pytest.fixture
def in_brief() -> Iterator[None]:
    """What is learnt gets no learning curve and no heat."""
    with brief():
        yield


@pytest.fixture(scope="session")
def pngs(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write_pngs(tmp_path_factory.mktemp("pngs"), 60, seed=3)


@pytest.fixture(scope="session")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Source:
    rng = np.random.default_rng(4)
    arrays = {}
    for split, count in (("train", 90), ("val", 20), ("test", 40)):
        labels = rng.integers(0, 2, count)
        arrays[f"{split}_images"] = np.stack([blob(rng, bool(label), 28) for label in labels])
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
    path = tmp_path_factory.mktemp("npz") / "toy.npz"
    np.savez_compressed(path, **arrays)
    return Source(path, None, 150)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("dicom") / "phantom"
    written = phantom_ct.write(folder, seed=5, patients=14, workers=0)
    return Source(folder / "images", folder / "labels.csv", written.studies)


@pytest.fixture(params=["pngs", "npz", "studies"])
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    root = tmp_path_factory.mktemp("cells")
    write_cells(root / "cells", COUNT)
    (root / "quick.toml").write_text(RECIPE)
    return Cells(root / "cells", root / "labels.csv", root / "quick.toml", ["--workspace", str(root / "w"), "--workers", "0"])


@pytest.fixture(scope="session")
def outlines(cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run says that learnt outlines alone, judged on a held-out test, with a rule that every answer breaks."""
    rules = cells.labels.with_name("rules.toml")
    rules.write_text(RULES)
    out = cells.labels.with_name("run")
    words = ["learn", *cells.words, "--targets", "masks", "--rules", rules, "--recipe", cells.recipe, "--out", out, *cells.home]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        assert main([*map(str, words), "--json"]) == 0
    result: dict[str, Any] = json.loads((out / "run.json").read_text())["result"]
    return result
