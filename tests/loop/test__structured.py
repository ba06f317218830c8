"""Answers judged case by case: growth is held against the study before, once all have been heard."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.loop._structured import Judge
from medloop.targets import rules
from medloop.types import Case, Dataset, Findings, ImageRef, Target, TargetKind, Truth, Violation

LARGE = Target(TargetKind.MEASURES, ("diameter",), "measures", units=("mm",))
ASKED = rules.parse('[[rule]]\nname = "growth"\ngrowth = "diameter"\nat_most = 1.2\n', (LARGE,), False, True)
OTHER = Violation("another", "broken", "always")
PRIORS, MM = (None, "a", "b", None), (10.0, 15.0, 16.0, 90.0)


@pytest.fixture
def told(tmp_path):
    """A function: what is told of four studies, each but the last the one before the next, heard from the last to the first."""
    names = "abcd"
    refs = [ImageRef(name, "nifti", (name,), spacing_mm=(1.0, 1.0, 1.0)) for name in names]
    cases = tuple(Case(name, (ref,), prior=prior) for name, ref, prior in zip(names, refs, PRIORS, strict=True))
    rows = np.arange(4)
    truth = Truth(LARGE, np.ones(4, bool), numbers=np.array(MM)[:, None])
    dataset = Dataset(cases, LARGE, np.zeros(4), rows, rows, np.array(["test"] * 4), "f", further=(truth,))

    def tell(asked):
        with Judge(dataset, tmp_path) as judge:
            for row in reversed(rows.tolist()):
                judge.hear(row, Findings(names[row], measures={"diameter": MM[row]}, violations=(OTHER,) if row == 3 else ()))
            return [(case, each.rule) for case, each in judge.tell(0, asked)[0].violations]

    return tell


def test_growth_since_the_study_that_is_named_is_told(told):
    assert told(ASKED) == [("b", "growth"), ("d", "another")]
    assert told(None) == [("d", "another")]


def test_without_looking_back_it_would_pass_silently(told, monkeypatch):
    monkeypatch.setattr(Judge, "_grow", lambda self, asked: None)
    assert told(ASKED) == [("d", "another")]
