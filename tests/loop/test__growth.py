"""Growth since the last study of the same patient is held against the rules."""

from __future__ import annotations

import pytest

from medloop.loop import _growth
from medloop.targets import rules
from medloop.types import ImageRef, Target, TargetKind, Violation

TARGETS = (Target(TargetKind.MASKS, ("tumour",), "masks"),)
NAME = "tumour longest diameter"
ASKED = rules.parse(
    f"""[[rule]]
name = "growth needs a reason"
growth = "{NAME}"
at_most = 1.2

[[rule]]
name = "not too large"
measure = "{NAME}"
at_most = 200
unit = "mm"
""",
    TARGETS,
    False,
    True,
)
DATES = {"b2": "20220301", "a1": "20210101", "a2": "20210601", "b1": "20220101", "c1": "20220101", "a3": "20211201", "d1": ""}
REFS = [ImageRef(name, "dicom", (name,), spacing_mm=(5.0, 1.0, 1.0), patient=name[0]) for name in DATES]
MM = {"a1": 20.0, "a2": 22.0, "a3": 30.0, "b1": 40.0, "b2": 10.0, "c1": 90.0, "d1": 1.0}
BROKEN = Violation("not too large", "many", "at most 200 mm")


def checked(refs=REFS):
    rows = [(ref.name, {NAME: MM[ref.name]}, (BROKEN,) if ref.name == "c1" else ()) for ref in refs]
    return {case: told for case, _, told in _growth.grown(ASKED, refs, rows)}


@pytest.fixture(autouse=True)
def dates(monkeypatch):
    monkeypatch.setattr(_growth.readers, "taken", lambda ref: DATES[ref.name])


def test_each_study_is_held_against_the_one_before_it():
    told = checked()
    assert [case for case, broken in told.items() if broken] == ["c1", "a3"]
    [grown] = told["a3"]
    assert grown.rule == "growth needs a reason"
    assert "30 mm" in grown.value
    assert "22 of last time" in grown.value
    assert told["c1"] == (BROKEN,), "what was told before stays"


def test_another_patient_is_no_last_time(monkeypatch):
    monkeypatch.setattr(_growth, "_before", lambda refs: {at: at - 1 for at in range(1, len(refs))})
    assert [case for case, broken in checked().items() if broken] != ["c1", "a3"], "patients that are mixed up are noticed"


def test_without_rules_of_growth_nothing_is_opened(monkeypatch):
    monkeypatch.setattr(_growth.readers, "taken", lambda ref: 1 / 0)
    plain = rules.Rules(ASKED.rules[1:], ASKED.about)
    rows = [(ref.name, {NAME: 3.0}, ()) for ref in REFS]
    assert _growth.grown(plain, REFS, rows) == rows
    assert _growth.grown(None, REFS, rows) == rows


def test_a_last_time_that_is_said_goes_before_dates(monkeypatch):
    monkeypatch.setattr(_growth.readers, "taken", lambda ref: "")
    rows = [(ref.name, {NAME: MM[ref.name]}, ()) for ref in REFS]
    said = {"c1": "b1", "a3": "absent", "absent": "a1", "a2": "a1"}
    told = {case: broken for case, _, broken in _growth.grown(ASKED, REFS, rows, said)}
    assert [case for case, broken in told.items() if broken] == ["c1"]
    assert "40 of last time" in told["c1"][0].value
