"""Agreement of readers, and of readers and model where the proposal was hidden and where it was shown."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medloop import store
from medloop.loop.agreement import _says, agreement, agreement_of
from medloop.requests import AgreementRequest
from medloop.store import proposals, reviews, settings, studies
from medloop.store.records import ProposalRow, ReviewRow, StudyRow
from medloop.workspace import Workspace

COUNT = 60


def _words(draw, like, share):
    """The same answers, but for a share of them."""
    return np.where(draw.random(len(like)) < share, np.where(like == "sick", "well", "sick"), like)


@pytest.fixture
def opened(tmp_path):
    """Sixty cases: a model is wrong in a quarter; ann reads all, following it where she sees it; ben reads the first thirty."""
    records = store.open(tmp_path / "w")
    settings.put(records, {"readers": 2}, "test")
    draw = np.random.default_rng(0)
    truth = draw.choice(["well", "sick"], COUNT)
    said, ann, ben = _words(draw, truth, 0.25), _words(draw, truth, 0.05), _words(draw, truth, 0.1)
    blind = np.arange(COUNT) % 2 == 0
    ann = np.where(blind, ann, said)
    for at in range(COUNT):
        row = StudyRow(name=f"{at}", content=f"{at}", patient=f"p{at}", state="ready", blind=bool(blind[at]))
        number, _ = studies.add(records, row, "test")
        (proposal,) = proposals.append(records, [ProposalRow(case_id=number, model_id=1, label=str(said[at]))], "test")
        known = None if blind[at] else proposal
        for author, value in (("ann", ann[at]), *((("ben", ben[at]),) if at < 30 else ())):
            new = ReviewRow(
                case_id=number, author=author, action="correct", value=str(value), proposal_id=known, blind=bool(blind[at])
            )
            reviews.commit(records, new, seen=reviews.head(records, number))
    yield records, {"said": said, "ann": ann, "ben": ben, "blind": blind}
    records.close()


def test_kappa_of_readers_and_of_the_model(opened):
    records, told = opened
    found = agreement_of(records)
    (pair,) = found.readers
    assert (pair["a"], pair["b"], pair["cases"]) == ("ann", "ben", 30)
    assert pair["kappa"] == pytest.approx(cohen_kappa_score(told["ann"][:30], told["ben"][:30]))
    assert pair["low"] < pair["kappa"] < pair["high"]
    assert found.all["cases"] == 30
    assert found.blind["cases"] + found.shown["cases"] == 90
    assert found.shown["kappa"] > found.blind["kappa"] + 0.1


def test_an_undone_reading_does_not_count(opened):
    records, _ = opened
    before = agreement_of(records).readers[0]["cases"]
    last = reviews.last_of(records, "ben")
    reviews.undo(records, last.id, "ben")
    assert agreement_of(records).readers[0]["cases"] == before - 1


def test_readers_who_follow_are_noticed_and_others_not():
    high = {"kappa": 0.95, "low": 0.9, "high": 1.0}
    low = {"kappa": 0.5, "low": 0.4, "high": 0.6}
    assert "may follow" in _says(high, low)
    assert "Nothing says" in _says(low, low)
    assert "Too few" in _says(high, {"kappa": None, "low": None, "high": None})


def test_nothing_read_is_no_trouble(tmp_path):
    store.open(tmp_path / "w").close()
    found = agreement(Workspace(tmp_path / "w"), AgreementRequest())
    assert found.readers == []
    assert found.all["kappa"] is None
    assert "Too few" in found.says
