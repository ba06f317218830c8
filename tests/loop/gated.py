"""A store with a frozen test set, and models learnt from other pictures, for tests of the gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from medloop import readers, store
from medloop.compute import Compute
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, look
from medloop.loop.learn import learn
from medloop.requests import LearnRequest
from medloop.store import Store, labels, models, studies
from medloop.store.records import LabelRow, ModelRow, StudyRow
from medloop.workspace import Workspace
from tests.loop.brief import brief

ACTOR = "tester"
RECIPE = """
name = "small"
family = "classical"

[parameters]
features = [{ name = "intensity" }, { name = "hog" }]
estimators = ["logistic"]
trials = 2
"""


@dataclass(frozen=True)
class Gated:
    """A workspace with models under ``models/weak`` and ``models/strong``, and pictures of other patients in ``folder``."""

    workspace: Workspace
    folder: Path
    rows: list[StudyRow]
    truth: list[str]

    def open(self) -> Store:
        """The store, newly opened."""
        return store.open(self.workspace.root)


def picture(rng: np.random.Generator, sick: bool, side: int = 24) -> np.ndarray:
    """Noise, in a sick one with a faint bright half."""
    found = 90 + 40 * rng.standard_normal((side, side))
    if sick:
        found[:, : side // 2] += 40
    return np.clip(found, 0, 255).astype(np.uint8)


def pictures(folder: Path, patients: int, seed: int) -> list[tuple[Path, str, str]]:
    """Two pictures a patient: ``(file, patient, truth)``."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    told = []
    for patient in range(patients):
        sick = patient % 2 == 1
        for number in range(2):
            path = folder / f"s{seed}p{patient:03}n{number}.png"
            Pillow.fromarray(picture(rng, sick)).save(path)
            told.append((path, f"{seed}-{patient}", "sick" if sick else "well"))
    return told


def learnt(workspace: Workspace, told: list[tuple[Path, str, str]], name: str, table: Path) -> None:
    """A model under ``models/NAME`` from these pictures."""
    lines = ["image,patient,diagnosis", *(f"{path.name},{patient},{truth}" for path, patient, truth in told)]
    table.write_text("\n".join(lines))
    recipe = table.with_suffix(".toml")
    recipe.write_text(RECIPE)
    asked = LearnRequest(
        src=str(told[0][0].parent),
        labels=str(table),
        recipe=str(recipe),
        out=str(workspace.root / "models" / name),
        workers=0,
    )
    with brief():
        learn(workspace, asked)


def studies_of(workspace: Workspace, told: list[tuple[Path, str, str]], frozen: bool) -> list[StudyRow]:
    """Studies as ingest would keep them."""
    with Compute(0) as compute:
        means = Means(workspace=workspace, compute=compute, clock=Clock())
        found = look(readers.collect(str(told[0][0].parent), compute=compute).refs, None, means, copies=False)
    refs = {Path(ref.files[0]).name: ref for ref in found.survey.refs}
    return [
        StudyRow(
            name=path.stem,
            content=path.stem,
            patient=patient,
            site="north" if at % 8 < 4 else "south",
            refs=(refs[path.name],),
            state="done",
            frozen=frozen,
        )
        for at, (path, patient, _) in enumerate(told)
    ]


def fill(opened: Store, rows: list[StudyRow], truth: list[str], provenance: str = "imported") -> list[int]:
    """Keep studies with their labels; their numbers."""
    numbers = []
    for row, value in zip(rows, truth, strict=True):
        number, _ = studies.add(opened, row, ACTOR)
        labels.append(opened, LabelRow(case_id=number, value=value, provenance=provenance), ACTOR)
        numbers.append(number)
    return numbers


def add_model(opened: Store, name: str, state: str = "challenger") -> ModelRow:
    """A model version for the folder ``models/NAME``."""
    return models.add(opened, ModelRow(name=name, path=f"models/{name}", family="classical", state=state), ACTOR)
