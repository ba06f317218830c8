"""The monitor over a store: quiet where nothing changed, and an alarm that names what changed and where."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import readers, store
from medloop.compute import Compute
from medloop.loop.monitor import monitor
from medloop.requests import MonitorRequest
from medloop.store import models, proposals, reviews, studies
from medloop.store.records import ModelRow, PromotionRow, ProposalRow, ReviewRow, StudyRow, now
from medloop.workspace import Workspace

PATIENTS = 26
"""Of each scanner, before and since."""


def _written(folder: Path, rng: np.random.Generator) -> dict[str, object]:
    """A noisy picture for each patient; those of scanner B since lately are brighter."""
    folder.mkdir(parents=True)
    for scanner in "AB":
        for time in ("then", "lately"):
            for patient in range(PATIENTS):
                bright = 50 if (scanner, time) == ("B", "lately") else 0
                pixels = np.clip(rng.normal(90 + bright, 25, (16, 16)), 0, 255).astype(np.uint8)
                Pillow.fromarray(pixels).save(folder / f"{scanner}-{time}-{patient}.png")
    with Compute(0) as compute:
        return {Path(ref.files[0]).stem: ref for ref in readers.collect(str(folder), compute=compute).refs}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """160 studies with proposals; those of scanner B lately look different and are read otherwise."""
    root = tmp_path_factory.mktemp("monitored")
    workspace = Workspace(root / "w").ready()
    rng = np.random.default_rng(0)
    refs = _written(root / "pictures", rng)
    opened = store.open(workspace.root)
    model = models.add(opened, ModelRow(name="m", path="models/m", family="classical"), "tester")
    models.decide(opened, PromotionRow(champion_id=None, challenger_id=model.id, decision="promoted", by="tester"), "tester")
    said = []
    for name, ref in refs.items():
        scanner, time, patient = name.split("-")
        arrived = now() - timedelta(days=5 if time == "lately" else 60, minutes=int(patient))
        row = StudyRow(
            name=name, content=name, patient=name, site="clinic", scanner=scanner, arrived=arrived, refs=(ref,), state="ready"
        )
        number, _ = studies.add(opened, row, "tester")
        label = "sick" if rng.random() < 0.4 else "well"
        said.append((number, name, label))
    kept = [
        ProposalRow(case_id=number, model_id=model.id, label=label, confidence=float(rng.uniform(0.6, 1)))
        for number, _, label in said
    ]
    numbers = proposals.append(opened, kept, "tester")
    for (number, name, label), proposal in zip(said, numbers, strict=True):
        odd = name.startswith("B-lately") and rng.random() < 0.5
        value = {"sick": "well", "well": "sick"}[label] if odd else label
        when = now() - timedelta(days=4 if "lately" in name else 59)
        review = ReviewRow(
            case_id=number, author="r", action="correct" if odd else "accept", value=value, proposal_id=proposal, time=when
        )
        reviews.commit(opened, review)
    opened.close()
    return workspace


def test_the_alarm_names_what_changed_and_where(home, tmp_path):
    found = monitor(home, MonitorRequest(workers=0, out=str(tmp_path / "drift.html")))
    alarms = {(each["what"], each["where"]) for each in found.alarms}
    assert {("images", "scanner B"), ("agreement", "scanner B")} <= alarms
    assert not any(where == "scanner A" for _, where in alarms)
    assert not any(what in ("proposals", "confidence") for what, _ in alarms)
    told = next(each["says"] for each in found.alarms if (each["what"], each["where"]) == ("images", "scanner B"))
    assert told.startswith("Scanner B, in the last 30 days: the images look different")
    assert "before" in told
    weeks = {row["week"] for row in found.series if row["where"] == "everywhere"}
    assert len(weeks) >= 2
    assert sum(row["cases"] for row in found.series if row["where"] == "everywhere") == 4 * PATIENTS
    page = (tmp_path / "drift.html").read_text()
    assert "Scanner B" in page
    assert "<svg" in page
    assert "B-lately" not in page


def test_where_nothing_came_lately_nothing_is_said(home):
    found = monitor(home, MonitorRequest(workers=0, days=2))
    assert found.alarms == []
    assert "Too little came" in found.says


def test_an_empty_store_is_no_error(tmp_path):
    found = monitor(Workspace(tmp_path / "w"), MonitorRequest(workers=0))
    assert (found.alarms, found.checks, found.series) == ([], [], [])
