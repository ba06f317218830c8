"""A champion proposes for what waits: which proposals may stand, which need a person, of which nothing can be said, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import medloop
from medloop import readers, store
from medloop.errors import InputError, Refused
from medloop.loop import findings
from medloop.loop import propose as proposing
from medloop.loop._promise import promise_of
from medloop.loop.findings import heat_of, read_mask
from medloop.loop.ingest import ingest
from medloop.loop.propose import propose
from medloop.requests import IngestRequest, ProposeRequest, ProposeResult
from medloop.store import Store, audit, labels, models, proposals, settings, studies
from medloop.store.records import LabelRow, ModelRow, ProposalRow
from medloop.types import Target, TargetKind
from medloop.workspace import Workspace
from tests.loop.brief import brief
from tests.loop.cells import write_cells
from tests.loop.conftest import Source

RATE = 0.04


@dataclass(frozen=True)
class Learnt:
    source: Source
    run: Path


def picture(rng: np.random.Generator, sick: bool) -> np.ndarray:
    """A noisy disc; a sick one has a bright spot, which one in ten hardly shows."""
    y, x = np.mgrid[:32, :32] - 15.5
    pixels = 40 + 80.0 * (np.hypot(y - rng.normal(0, 1), x - rng.normal(0, 1)) < rng.uniform(10, 12))
    if sick:
        spot = np.hypot(y - rng.uniform(-5, 5), x - rng.uniform(-5, 5)) < rng.uniform(2.5, 4)
        pixels += rng.choice([8, 60, 80], p=[0.1, 0.45, 0.45]) * spot
    return np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255)


@pytest.fixture(scope="module")
def learnt(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    home = tmp_path_factory.mktemp("learnt")
    source = Source(new(home / "scans", 200, 3), home / "labels.csv", 200)
    rows = [f"n3-{number:03},{number},{'sick' if number % 2 else 'well'}" for number in range(200)]
    source.labels.write_text("\n".join(["image,patient,diagnosis", *rows]))
    with brief():
        done = medloop.learn(source.src, labels=source.labels, workspace=home / "w", recipe=plain, workers=0)
    return Learnt(source, Path(done.run))


@dataclass(frozen=True)
class Department:
    """A store with a champion, labels confirmed outside, and studies that wait."""

    records: Store
    tmp: Path

    def take(self, src: Path, **more: object) -> list[int]:
        return ingest(Workspace(self.records.root), IngestRequest(src=str(src), workers=0, **more)).fresh

    def propose(self, **more: object) -> ProposeResult:
        return propose(Workspace(self.records.root), ProposeRequest(workers=0, **more))

    def latest(self, *numbers: int) -> list[ProposalRow]:
        found = proposals.latest(self.records, numbers or None)
        return [found[number] for number in sorted(found)]


def crowned(records: Store, run: Path, **card: object) -> ModelRow:
    """The run as champion of the store."""
    place = records.root / "models" / run.name
    shutil.copytree(run, place, dirs_exist_ok=True)
    row = ModelRow(name=run.name, path=f"models/{run.name}", family="classical", state="champion", card=card)
    return models.add(records, row, "kim")


@pytest.fixture
def department(learnt: Learnt, tmp_path: Path) -> Iterator[Department]:
    records = store.open(tmp_path / "w")
    settings.put(records, {"error_rate": RATE, "test_share": 0.0}, "kim")
    crowned(records, learnt.run)
    yield Department(records, tmp_path)
    records.close()


def new(folder: Path, count: int, seed: int, change=lambda pixels: pixels) -> Path:
    """Pictures of so many new patients."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.clip(change(picture(rng, number % 2 == 1)), 0, 255).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / f"n{seed}-{number:03}.png")
    return folder


def test_what_is_sure_may_stand_and_the_rest_needs_a_person(department: Department) -> None:
    numbers = department.take(new(department.tmp / "new", 60, 50))
    done = department.propose()
    assert (done.cases, done.unlike) == (60, 0)
    assert done.shift is not None
    assert not done.shift["alarm"]
    threshold = done.promise["threshold"]
    made = department.latest(*numbers)
    assert done.accept == sum(each.decision == "accept" for each in made) > 20
    for each in made:
        assert (each.decision == "accept") == (each.confidence >= threshold)
        assert each.why
        assert each.label in each.probabilities
        assert sum(each.probabilities.values()) == pytest.approx(1)
        assert each.label in each.summary
        assert 0 <= each.priority <= 1
    right = [each.label == ("sick" if number % 2 else "well") for number, each in enumerate(made) if each.decision == "accept"]
    assert np.mean(right) >= 1 - RATE
    assert studies.counts(department.records)["proposed"] == 60
    assert audit.verify(department.records) == []


def test_proposing_again_does_nothing_until_asked(department: Department) -> None:
    department.take(new(department.tmp / "new", 4, 51))
    assert department.propose().cases == 4
    assert department.propose().cases == 0
    assert department.propose(again=True, limit=3).cases == 3


def test_few_new_patients_get_no_promise_yet(department: Department) -> None:
    department.take(new(department.tmp / "new", 5, 52))
    done = department.propose()
    assert (done.accept, done.person, done.shift) == (0, 5, None)
    assert "5 patients are too few" in done.warnings[0]
    assert all("too few" in each.why for each in department.latest())


def test_shifted_studies_get_no_promise_and_it_is_said_why(department: Department) -> None:
    department.take(new(department.tmp / "new", 40, 53, lambda pixels: pixels + 1.5))
    done = department.propose()
    assert done.accept == 0
    assert done.shift["alarm"]
    assert "brightness" in done.warnings[0] or "darkest" in done.warnings[0]
    assert all("No promise is given" in each.why for each in department.latest() if each.decision == "person")


def test_without_the_look_at_the_shift_they_would_be_accepted(department: Department, monkeypatch: pytest.MonkeyPatch) -> None:
    department.take(new(department.tmp / "new", 40, 53, lambda pixels: pixels + 1.5))
    monkeypatch.setattr(proposing.Proposer, "_doubt", lambda self: "")
    assert department.propose().accept > 0


def test_what_looks_like_nothing_learnt_from_gets_no_label(department: Department) -> None:
    odd = department.tmp / "odd"
    odd.mkdir()
    rng = np.random.default_rng(1)
    Pillow.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(odd / "noise.png")
    Pillow.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))).save(odd / "ramp.png")
    Pillow.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(odd / "colour.png")
    Pillow.fromarray(255 - picture(rng, False).astype(np.uint8)).save(odd / "inverted.png")
    department.take(odd)
    done = department.propose()
    assert done.unlike == 4
    for each in department.latest():
        assert (each.label, each.confidence, each.probabilities) == ("", None, {})
        assert each.unlikeness > 1
        assert each.why.startswith("Too unlike")
        assert "Nothing is proposed" in each.summary


def test_cases_of_the_frozen_set_get_no_proposal_and_blind_ones_do(department: Department) -> None:
    settings.put(department.records, {"test_share": 0.5, "blind_share": 1.0}, "kim")
    department.take(new(department.tmp / "new", 30, 54))
    done = department.propose()
    rows = studies.many(department.records, range(1, 31))
    frozen = {row.id for row in rows if row.frozen}
    assert 0 < len(frozen) < 30
    assert done.cases == 30 - len(frozen)
    assert frozen.isdisjoint(proposals.latest(department.records))
    assert all(row.blind for row in rows)


def test_a_case_shows_confirmed_ones_like_it(department: Department, learnt: Learnt) -> None:
    department.take(learnt.source.src, labels=str(learnt.source.labels))
    (number, *_) = department.take(new(department.tmp / "new", 2, 55))
    department.propose()
    (made,) = department.latest(number)
    told = labels.current(department.records)
    assert len(made.nearest) == 3
    assert [each["distance"] for each in made.nearest] == sorted(each["distance"] for each in made.nearest)
    for each in made.nearest:
        assert each["label"] == told[(each["case_id"], "classes")].value
    copy = readers.read(studies.get(department.records, made.nearest[0]["case_id"]).refs[0])
    again = department.tmp / "again"
    again.mkdir()
    Pillow.fromarray(np.clip(copy.pixels[0, 0, 0].astype(int) + 1, 0, 255).astype(np.uint8)).save(again / "a.png")
    (twin,) = department.take(again)
    department.propose()
    assert department.latest(twin)[0].nearest[0]["case_id"] == made.nearest[0]["case_id"]


def test_labels_come_in_several_standards(department: Department) -> None:
    department.take(new(department.tmp / "new", 4, 56))
    mapping = department.tmp / "mapping.toml"
    mapping.write_text('[classes.sick]\nsnomed = "233604007"\nicd10 = "J18.9"\n[classes.well]\nsnomed = 281900007\n')
    department.propose(mapping=str(mapping))
    told = {each.label: [code["code"] for code in each.standards] for each in department.latest()}
    assert told == {"sick": ["233604007", "J18.9"], "well": ["281900007"]}
    assert any("SNOMED CT 233604007 (Pneumonia)" in each.summary for each in department.latest())
    mapping.write_text("[classes.sikc]\nicd10 = 'J18.9'\n")
    with pytest.raises(InputError, match="Did you mean sick"):
        department.propose(mapping=str(mapping))
    settings.put(department.records, {"mapping": "[classes.well]\nradlex = 'RID13173'\n"}, "kim")
    department.propose(again=True)
    assert {code["code"] for each in department.latest() for code in each.standards} == {"RID13173"}


def test_heat_lies_on_the_image_as_read_and_is_kept(department: Department, monkeypatch: pytest.MonkeyPatch) -> None:
    _, number = department.take(new(department.tmp / "new", 2, 57))
    department.propose()
    (made,) = department.latest(number)
    assert made.label == "sick"
    heat = heat_of(department.records, made.id)
    assert heat.shape == studies.get(department.records, number).refs[0].shape[2:]
    assert heat.max() > 100
    monkeypatch.setattr(findings, "_heat", None)
    np.testing.assert_array_equal(heat_of(department.records, made.id), heat)


def test_without_a_champion_nothing_is_proposed(learnt: Learnt, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="promoted"):
        propose(Workspace(tmp_path / "w"), ProposeRequest(workers=0))
    records = store.open(tmp_path / "w")
    Department(records, tmp_path).take(new(tmp_path / "new", 3, 58))
    assert Department(records, tmp_path).propose(model=str(learnt.run)).cases == 3
    with pytest.raises(InputError):
        Department(records, tmp_path).propose(model="7")
    records.close()


def test_an_image_that_is_lost_is_told_and_the_others_go_on(department: Department) -> None:
    numbers = department.take(new(department.tmp / "new", 3, 59))
    Path(studies.get(department.records, numbers[1]).refs[0].files[0]).write_bytes(b"\x89PNG gone")
    shutil.rmtree(department.records.root / "cache")
    done = department.propose()
    assert (done.cases, done.unlike) == (3, 1)
    assert "cannot be used" in department.latest(numbers[1])[0].why


def test_the_promise_takes_only_cases_that_no_ancestor_knew(learnt: Learnt, tmp_path: Path) -> None:
    target = Target(TargetKind.BINARY, ("sick", "well"))
    all_of_it = promise_of(learnt.run, target, RATE, 0.95)
    assert all_of_it.threshold is not None
    rows = (learnt.run / "predictions.csv").read_text().splitlines()
    inner = [line.split(",")[0] for line in rows[1:] if line.split(",")[1] == "validation"]
    held_out = len(rows) - 1 - len(inner)
    some = promise_of(learnt.run, target, RATE, 0.95, fresh=inner[:10])
    assert some.cases == 10 + held_out
    assert all_of_it.cases == len(inner)
    assert promise_of(tmp_path, target, RATE, 0.95).threshold is None
    assert promise_of(learnt.run, Target(TargetKind.NUMBER), RATE, 0.95).threshold is None
    (tmp_path / "predictions.csv").write_text("case,part\n")
    with pytest.raises(InputError):
        promise_of(tmp_path, target, RATE, 0.95)


def test_outlines_measures_and_broken_rules_are_proposed(outlines: dict[str, Any], tmp_path: Path) -> None:
    records = store.open(tmp_path / "w")
    department = Department(records, tmp_path)
    settings.put(records, {"test_share": 0.0}, "kim")
    crowned(records, Path(outlines["run"]))
    write_cells(tmp_path / "new" / "cells", 6, seed=9)
    numbers = department.take(tmp_path / "new" / "cells", images="*.bmp")
    done = department.propose()
    assert done.cases == 6
    for number, made in zip(numbers, department.latest(), strict=True):
        found = made.findings
        assert found["mask"]["classes"] == ["rim", "core"]
        mask = read_mask(records, found["mask"]["blob"])
        assert mask.shape == studies.get(records, number).refs[0].shape[2:]
        truth = np.asarray(Pillow.open(tmp_path / "new" / "cells" / f"{studies.get(records, number).name[:3]}.png"))
        assert ((mask[0] > 0) == (truth > 0)).mean() > 0.8
        measures = {each["name"]: each for each in found["measures"]}
        assert measures["rim longest diameter"]["unit"] == "px"
        assert measures["rim longest diameter"]["value"] > 2
        assert found["violations"][0]["rule"] == "no cell is so large"
        assert made.decision == "person"
        assert "no cell is so large" in made.summary
        assert "rim longest diameter" in made.summary
        json.dumps(found)
    records.close()


def test_masks_are_read_from_every_form_they_are_kept_in(tmp_path: Path) -> None:
    records = store.open(tmp_path / "w")
    flat = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
    solid = np.stack([flat, flat[::-1], np.zeros_like(flat)])
    import io

    from medloop.errors import Unreadable
    from medloop.writers import nifti, png

    raw = io.BytesIO()
    np.save(raw, solid)
    for content, suffix, mask in (
        (png.mask_bytes(flat), ".png", flat[None]),
        (nifti.mask_bytes(solid, np.diag([1.0, 2, 3, 1])), ".nii.gz", solid),
        (raw.getvalue(), ".npy", solid),
    ):
        np.testing.assert_array_equal(read_mask(records, records.blobs.put(content, suffix)), mask)
    for suffix in (".png", ".nii.gz", ".npy"):
        with pytest.raises(Unreadable):
            read_mask(records, records.blobs.put(b"no mask " + suffix.encode(), suffix))
    records.close()


def test_a_confirmed_label_keeps_the_proposals_of_now(department: Department) -> None:
    (number,) = department.take(new(department.tmp / "new", 1, 60))
    labels.append(department.records, LabelRow(case_id=number, value="sick", provenance="human"), "kim")
    studies.set_state(department.records, number, "done", "kim")
    assert department.propose().cases == 0
    assert replace(studies.get(department.records, number)).state == "done"
