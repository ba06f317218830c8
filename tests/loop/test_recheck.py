"""Audit of labels: those flipped on purpose go back for a second look, with the reason; what two people said is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from medloop import store
from medloop.errors import InputError, Refused
from medloop.families import _quick
from medloop.loop import recheck as rechecking
from medloop.loop.recheck import recheck
from medloop.requests import RecheckRequest
from medloop.store import audit, labels, settings, studies
from medloop.store.records import LabelRow
from medloop.workspace import Workspace
from tests.loop.stored import fill

FLIPPED = (3, 10, 17, 24, 31, 38, 45, 52)


@pytest.fixture
def opened(tmp_path):
    """Seventy labelled cases; eight labels are wrong, one of these said by two people."""
    records = store.open(tmp_path / "w")
    numbers = fill(records, tmp_path / "pictures", 70)
    for at in FLIPPED:
        wrong = "well" if at % 2 else "sick"
        for author in ("ben",) if at != FLIPPED[-1] else ("ben", "cid"):
            labels.append(records, LabelRow(case_id=numbers[at], value=wrong, provenance="human", author=author), author)
    yield records, numbers, Workspace(tmp_path / "w")
    records.close()


def _sent_back(records, numbers):
    return [number for number in numbers if studies.get(records, number).state == "second-look"]


def test_flipped_labels_go_back_with_the_reason(opened):
    records, numbers, workspace = opened
    dry = recheck(workspace, RecheckRequest(dry_run=True, workers=0))
    assert _sent_back(records, numbers) == []
    assert dry.asked == 0
    found = recheck(workspace, RecheckRequest(workers=0))
    assert found.cases == dry.cases
    assert found.labels == 70
    sent, flipped = set(_sent_back(records, numbers)), {numbers[at] for at in FLIPPED[:-1]}
    assert len(sent) == found.asked == found.suspected
    assert len(sent & flipped) >= 5, "most of the seven that one person said"
    assert len(sent - flipped) <= 5
    assert numbers[FLIPPED[-1]] not in sent, "two people said it"
    first = found.cases[0]
    why = studies.get(records, first["case_id"]).why
    assert why == first["why"]
    assert first["author"] in why
    assert f"‘{first['likely']}’" in why
    assert audit.verify(records) == []
    assert recheck(workspace, RecheckRequest(workers=0)).asked == 0, "what was sent back is not sent again"


def test_the_check_sees_probabilities_that_are_not_out_of_fold(opened, monkeypatch):
    records, numbers, workspace = opened

    def peeping(dataset, table, seed):
        places = _quick.reduced(table, np.arange(len(table)), seed)
        raw = _quick.learn(places, dataset.values, dataset.target, seed).raw(places)[:, 0]
        sick = 1 / (1 + np.exp(-5 * raw))
        return np.stack([1 - sick, sick], axis=1)

    monkeypatch.setattr(rechecking, "_out_of_fold", peeping)
    recheck(workspace, RecheckRequest(workers=0))
    assert len(set(_sent_back(records, numbers)) & {numbers[at] for at in FLIPPED[:-1]}) < 5


def test_the_most_suspicious_first_and_no_more_than_asked_for(opened):
    records, numbers, workspace = opened
    found = recheck(workspace, RecheckRequest(most=2, workers=0))
    assert found.asked == 2
    assert _sent_back(records, numbers) == sorted(each["case_id"] for each in found.cases)


def test_nothing_to_audit_is_told(tmp_path):
    with pytest.raises(Refused, match="No label"):
        recheck(Workspace(tmp_path / "w"), RecheckRequest(workers=0))


def test_where_several_classes_may_hold_the_reason_names_the_class(opened):
    records, numbers, workspace = opened
    settings.put(records, {"target": {"kind": "multi-label", "classes": ["nodule", "round"], "name": "found"}}, "test")
    for at, number in enumerate(numbers):
        sick, slipped = float(at % 2), at in FLIPPED
        value = {"nodule": 1 - sick if slipped else sick, "round": 1 - sick}
        labels.append(records, LabelRow(case_id=number, value=value, target="found", provenance="human", author="ann"), "ann")
    found = recheck(workspace, RecheckRequest(workers=0))
    flipped = {numbers[at] for at in FLIPPED}
    right = [each for each in found.cases if each["case_id"] in flipped]
    assert len(right) >= 5
    assert len(found.cases) - len(right) <= 5
    for each in right:
        assert {each["label"], each["likely"]} == {"nodule", "no nodule"}
        assert studies.get(records, each["case_id"]).why.startswith(f"Labelled ‘{each['label']}’ by ann; a model that had")


def test_numbers_are_not_audited(opened):
    records, numbers, workspace = opened
    settings.put(records, {"target": {"kind": "number", "classes": [], "name": "age"}}, "test")
    labels.append(records, LabelRow(case_id=numbers[0], value=3.5, target="age", provenance="human", author="ann"), "ann")
    with pytest.raises(InputError, match="number"):
        recheck(workspace, RecheckRequest(workers=0))
