"""Retraining: every confirmed label, nothing that only a model said, nothing of the frozen test set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medloop import store
from medloop.compute import Compute
from medloop.errors import Refused
from medloop.loop import _stored
from medloop.loop._clock import Clock
from medloop.loop._intake import Means
from medloop.loop._learnt import read_learnt
from medloop.loop.retrain import AGAIN, COPIED, _without_copies, retrain
from medloop.requests import RetrainRequest
from medloop.store import labels, models, studies
from medloop.store.records import LabelRow
from medloop.types import Provenance, Split
from medloop.workspace import Workspace
from tests.loop.stored import fill


def only_truth(stored: _stored.Stored) -> None:
    """The check: no label that only a model gave."""
    assert all(label.provenance is not Provenance.AI_ONLY for label in stored.labelled.labels)


def test_a_challenger_is_learnt_from_the_store(home: Workspace, opened, plain: Path, in_brief, tmp_path: Path) -> None:
    numbers = fill(opened, tmp_path / "a", 30, frozen=6)
    labels.append(opened, LabelRow(case_id=numbers[8], value="sick", provenance="ai-only", author="model"), "model")
    got = retrain(home, RetrainRequest(recipe=str(plain)))
    row = models.get(opened, got.challenger)
    assert (row.state, row.parent, row.labels_upto) == ("challenger", None, labels.last_id(opened))
    assert models.champion(opened) is None
    assert got.labels == {"human": 24}
    assert got.left_out["frozen"] == 6
    run = home.root / row.path
    assert {"model", "run.json", "predictions.csv", "report.html"} <= {path.name for path in run.iterdir()}
    frozen = {ref.digest for number in numbers[:6] for ref in studies.get(opened, number).refs}
    assert not read_learnt(run / "model").pictures & frozen
    written = [path for path in run.rglob("*") if path.suffix in (".json", ".csv", ".html", ".toml")]
    assert written
    assert not [path for path in written if "Zyxwv" in path.read_text()]


def test_what_only_a_model_said_is_no_truth(opened, tmp_path: Path) -> None:
    numbers = fill(opened, tmp_path / "a", 6, labelled=False)
    for number in numbers:
        labels.append(opened, LabelRow(case_id=number, value="well", provenance="ai-only", author="model"), "model")
    with pytest.raises(Refused, match="6 ai-only"):
        _stored.gathered(opened)
    labels.append(opened, LabelRow(case_id=numbers[0], value="sick", provenance="human-after-ai", author="ann"), "ann")
    found = _stored.gathered(opened)
    only_truth(found)
    assert [label.case for label in found.labelled.labels] == [f"case-{numbers[0]}"]
    assert found.left_out == {"ai-only": 5}


def test_the_check_sees_labels_of_a_model(opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = fill(opened, tmp_path / "a", 4)
    more = fill(opened, tmp_path / "b", 2, seed=4, labelled=False)
    labels.append(opened, LabelRow(case_id=more[0], value="well", provenance="ai-only", author="model"), "model")
    only_truth(_stored.gathered(opened))
    monkeypatch.setattr(labels, "TRUTH", tuple(Provenance))
    broken = _stored.gathered(opened)
    assert len(broken.labelled.labels) == len(numbers) + 1
    with pytest.raises(AssertionError):
        only_truth(broken)


def test_a_label_of_a_model_does_not_hide_what_a_person_said(opened, tmp_path: Path) -> None:
    (number, *_) = fill(opened, tmp_path / "a", 4)
    labels.append(opened, LabelRow(case_id=number, value="sick", provenance="ai-only", author="model"), "model")
    said = {label.case: label.value for label in _stored.gathered(opened).labelled.labels}
    assert said[f"case-{number}"] == "well"


def test_copies_of_frozen_pictures_are_not_learnt_from(home: Workspace, opened, tmp_path: Path) -> None:
    fill(opened, tmp_path / "a", 12, frozen=4)
    again = fill(opened, tmp_path / "b", 12, whose="Vwxyz", level=1)  # the same pictures, of people of other names
    labelled, left_out = _stored.gathered(opened).labelled, Counter[str]()
    with Compute(0) as compute:
        means = Means(workspace=home.ready(), compute=compute, clock=Clock())
        kept = _without_copies(labelled, _stored.frozen_refs(opened), means, left_out)
    assert left_out == {COPIED: 4, AGAIN: 0}
    assert not {case.name for case in kept.cases} & {f"case-{number}" for number in again[:4]}
    parts = {}
    for case in kept.cases:
        parts.setdefault(case.patient.split("^")[1], set()).add(case.given_split)
    assert all(len(found) == 1 for found in parts.values())


def test_the_same_file_under_two_names_is_learnt_from_once(home: Workspace, opened, tmp_path: Path) -> None:
    fill(opened, tmp_path / "a", 6)
    fill(opened, tmp_path / "b", 6, whose="Vwxyz")  # equal bytes
    left_out = Counter[str]()
    with Compute(0) as compute:
        means = Means(workspace=home.ready(), compute=compute, clock=Clock())
        kept = _without_copies(_stored.gathered(opened).labelled, [], means, left_out)
    assert left_out == {COPIED: 0, AGAIN: 6}
    assert {case.patient.split("^")[0] for case in kept.cases} == {"Vwxyz"}


def test_the_part_held_out_is_the_same_for_every_model() -> None:
    parts = [_stored._part_of(f"patient {number}") for number in range(2000)]
    assert 140 < parts.count(Split.TEST) < 260
    assert parts == [_stored._part_of(f"patient {number}") for number in range(2000)]


def test_labels_up_to_a_number_are_what_they_were(opened, tmp_path: Path) -> None:
    numbers = fill(opened, tmp_path / "a", 6)
    upto = labels.last_id(opened)
    before = _stored.gathered(opened).labelled.labels
    labels.append(opened, LabelRow(case_id=numbers[0], value="sick", provenance="human", author="bea"), "bea")
    assert _stored.gathered(opened, upto=upto).labelled.labels == before
    assert _stored.gathered(opened).labelled.labels != before


def test_values_that_the_target_does_not_know_are_left_out(opened, tmp_path: Path) -> None:
    numbers = fill(opened, tmp_path / "a", 6)
    store.settings.put(opened, {"target": {"kind": "binary", "classes": ["well", "sick"]}}, "ann")
    labels.append(opened, LabelRow(case_id=numbers[0], value="<b>", provenance="human", author="ann"), "ann")
    found = _stored.gathered(opened)
    assert found.left_out == {"unreadable value": 1}
    assert found.labelled.target.classes == ("well", "sick")
