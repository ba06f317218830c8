"""The loop of outlines, end to end: masks beside images, a champion, a reader's corrections, a challenger, the gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import families, store
from medloop.loop import _frozen, _stored, findings
from medloop.loop import retrain as retraining
from medloop.loop._learnt import read_learnt
from medloop.loop.ingest import ingest
from medloop.loop.predict import predict
from medloop.loop.promote import promote
from medloop.loop.propose import propose
from medloop.loop.retrain import retrain
from medloop.requests import IngestRequest, PredictRequest, PromoteRequest, ProposeRequest, RetrainRequest, RetrainResult
from medloop.store import Store, audit, labels, models, proposals, reviews, settings, studies
from medloop.store.records import LabelRow, ReviewRow, StudyRow
from medloop.store.studies import Filter
from medloop.types import TargetKind
from medloop.workspace import Workspace
from medloop.writers import png
from tests.loop.cells import RECIPE, RULES, write_cells

COUNT, DRAWN = 48, 36
"""Cells, and how many have a mask beside them when they come."""


@dataclass
class Loop:
    """A workspace whose champion learnt outlines in one epoch; of what it proposed readers corrected some and accepted some."""

    workspace: Workspace
    opened: Store
    recipe: Path
    truth: dict[str, np.ndarray]
    corrected: list[int]
    accepted: list[int]

    def rows(self, **which: bool) -> list[StudyRow]:
        return studies.page(self.opened, "arrival", Filter(states=("ready", "proposed", "done"), **which), 1000, refs=True).rows

    def pictures(self, numbers: list[int]) -> set[str]:
        return {ref.digest for row in studies.many(self.opened, numbers) for ref in row.refs}


def cells(folder: Path) -> dict[str, np.ndarray]:
    """Cells of which the first have a mask beside them; the truth of all, by name."""
    write_cells(folder, COUNT)
    truth = {}
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        values = np.asarray(Pillow.open(path))
        truth[f"{path.stem}.bmp"] = np.select([values == 128, values == 255], [1, 2], 0).astype(np.uint8)
        if number >= DRAWN:
            path.unlink()
    return truth


def correct(opened: Store, row: StudyRow, mask: np.ndarray) -> None:
    """What the review page commits for an outline drawn anew over the proposal."""
    proposal = proposals.latest(opened, [row.id])[row.id]
    proposed = proposal.findings["mask"]
    drawn = {"blob": opened.blobs.put(png.mask_bytes(mask), ".png"), "classes": proposed["classes"]}
    said = ReviewRow(case_id=row.id, author="ann", action="correct", findings={proposed["target"]: drawn}, proposal_id=proposal.id)
    reviews.commit(opened, said)


def marked(loop: Loop, got: RetrainResult) -> None:
    """The check: every answer of the challenger breaks the champion's rule, and is marked, though its recipe has no rules."""
    assert not [each for each in got.learn.warnings if "not held against" in each]
    src, out = loop.recipe.with_name("cells"), loop.workspace.root / got.name / "said.csv"
    asked = PredictRequest(model=got.learn.model, src=str(src), images="*.bmp", out=str(out), workers=0)
    assert predict(loop.workspace, asked).violations == COUNT


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    root = tmp_path_factory.mktemp("outlined")
    truth = cells(root / "cells")
    for name, epochs in (("bare", 1), ("quick", 6)):
        (root / f"{name}.toml").write_text(RECIPE.replace("epochs = 5", f"epochs = {epochs}"))
    (root / "weak.toml").write_text(f"{(root / 'bare.toml').read_text()}rules = '''{RULES}'''\n")
    workspace = Workspace(root / "w")
    opened = store.open(workspace.root)
    settings.put(opened, {"test_share": 0.4}, "test")
    words = {"images": "*.bmp", "masks": "*.png", "mask_classes": "128=rim,255=core"}
    ingest(workspace, IngestRequest(src=str(root / "cells"), workers=0, **words))
    retrain(workspace, RetrainRequest(recipe=str(root / "weak.toml"), budget="10m"))
    promote(workspace, PromoteRequest(workers=0))
    propose(workspace, ProposeRequest(workers=0))
    waiting = studies.page(opened, "arrival", Filter(states=("proposed",)), 1000, refs=True).rows
    for row in waiting[1:]:
        correct(opened, row, truth[row.name])
    one = waiting[0]
    proposal = proposals.latest(opened, [one.id])[one.id]
    reviews.commit(opened, ReviewRow(case_id=one.id, author="ann", action="accept", proposal_id=proposal.id))
    yield Loop(workspace, opened, root / "quick.toml", truth, [row.id for row in waiting[1:]], [one.id])
    opened.close()


def test_masks_beside_images_are_imported_and_the_first_model_outlines(loop: Loop) -> None:
    champion = models.champion(loop.opened)
    assert champion is not None
    model = families.load(loop.workspace.root / champion.path / "model")
    assert (model.target.kind, model.target.classes) == (TargetKind.MASKS, ("rim", "core"))
    assert settings.get(loop.opened, "target") is None
    assert settings.get(loop.opened, "drawn") == {"masks": ["rim", "core"]}
    told = labels.current(loop.opened, truth=True)
    assert {name for _, name in told} == {"masks"}
    imported = {case: row for (case, _), row in told.items() if row.provenance == "imported"}
    assert len(imported) == DRAWN
    row = studies.get(loop.opened, min(imported))
    np.testing.assert_array_equal(findings.read_mask(loop.opened, imported[row.id].value["blob"])[0], loop.truth[row.name])


def test_the_challenger_learns_from_what_a_reader_corrected_and_the_gate_lets_it_in(loop: Loop, tmp_path: Path) -> None:
    before = models.champion(loop.opened)
    got = retrain(loop.workspace, RetrainRequest(recipe=str(loop.recipe), budget="10m"))
    row = models.get(loop.opened, got.challenger)
    assert row.parent == before.id
    frozen = [each.id for each in loop.rows(frozen=True)]
    judged = _frozen.frozen_cases(loop.opened, families.load(loop.workspace.root / row.path / "model").target)
    assert len(judged) >= 10
    assert got.labels == {"imported": DRAWN - len(judged), "human-after-ai": len(loop.corrected)}
    marked(loop, got)
    seen = read_learnt(loop.workspace.root / row.path / "model").pictures
    assert seen & loop.pictures(loop.corrected)
    assert not seen & loop.pictures([*frozen, *loop.accepted])
    said = promote(loop.workspace, PromoteRequest(workers=0, auto=True, out=str(tmp_path / "page.html")))
    assert (said.decision, said.look, said.cases) == ("promoted", 1, len(judged))
    assert said.gain["metric"] == "dice"
    assert 0 < said.gain["low"] < said.gain["difference"]
    assert models.champion(loop.opened).id == row.id
    page = (tmp_path / "page.html").read_text()
    assert "Dice, challenger" in page
    assert "Dice core" in page
    assert audit.verify(loop.opened) == []


def test_what_only_a_model_outlined_is_no_truth(loop: Loop) -> None:
    """An outline that a reader accepted as it was, or a model gave, is learnt from by nobody and judges nobody."""
    stored = _stored.gathered(loop.opened)
    assert {f"case-{number}" for number in loop.corrected} < {case.name for case in stored.labelled.cases}
    assert not {f"case-{number}" for number in loop.accepted} & {case.name for case in stored.labelled.cases}
    (number,) = loop.accepted
    proposed = proposals.latest(loop.opened, [number])[number].findings["mask"]
    value = {"blob": proposed["blob"], "classes": proposed["classes"]}
    labels.append(loop.opened, LabelRow(case_id=number, value=value, target="masks", provenance="ai-only"), "model")
    again = _stored.gathered(loop.opened)
    assert len(again.labelled.cases) == len(stored.labelled.cases)
    assert again.left_out["ai-only"] == 1


def test_the_check_sees_outlines_of_a_model(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guarantee is broken on purpose."""
    before = len(_stored.gathered(loop.opened).labelled.cases)
    (number,) = loop.accepted
    proposed = proposals.latest(loop.opened, [number])[number].findings["mask"]
    value = {"blob": proposed["blob"], "classes": proposed["classes"]}
    labels.append(loop.opened, LabelRow(case_id=number, value=value, target="masks", provenance="ai-only"), "model")
    monkeypatch.setattr(labels, "TRUTH", ("human", "human-after-ai", "imported", "ai-only"))
    assert len(_stored.gathered(loop.opened).labelled.cases) == before + 1


def test_the_check_sees_that_rules_are_lost(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guarantee is broken on purpose."""
    monkeypatch.setattr(retraining, "with_rules", lambda workspace, request, before, targets: (request, ()))
    got = retrain(loop.workspace, RetrainRequest(recipe=str(loop.recipe.with_name("bare.toml")), budget="10m"))
    with pytest.raises(AssertionError):
        marked(loop, got)
