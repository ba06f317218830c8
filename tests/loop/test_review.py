"""Reviews from the command line: what is accepted, corrected, taken back; what is proposed stays hidden where it must."""

from __future__ import annotations

import pytest

from medloop import store
from medloop.errors import InputError
from medloop.loop import review as reviewing
from medloop.loop.review import review
from medloop.requests import ReviewRequest
from medloop.store import audit, labels, proposals, settings, studies
from medloop.store.records import ProposalRow
from medloop.workspace import Workspace
from tests.loop.stored import fill


@pytest.fixture
def opened(tmp_path):
    """Workspace, store and two studies with a proposal each; the second is read blind."""
    records = store.open(tmp_path / "w")
    numbers = fill(records, tmp_path / "pictures", 2, labelled=False)
    for number in numbers:
        studies.set_state(records, number, "ready", "test")
    rows = [
        ProposalRow(case_id=number, model_id=1, label="well", confidence=0.9, probabilities={"well": 0.9, "sick": 0.1})
        for number in numbers
    ]
    proposals.append(records, rows, "test")
    studies.draw(records, numbers[1], "test", blind=True)
    yield Workspace(tmp_path / "w"), records, numbers
    records.close()


def _label(records, number):
    return labels.current(records, [number])[(number, "classes")]


def test_accept_correct_and_undo(opened):
    workspace, records, (first, _) = opened
    shown = review(workspace, ReviewRequest(case=first))
    assert (shown.review, shown.proposal["label"], shown.reviews) == (None, "well", [])
    done = review(workspace, ReviewRequest(case=first, action="accept", by="ann"))
    assert (done.state, _label(records, first).value, _label(records, first).provenance) == ("done", "well", "human-after-ai")
    review(workspace, ReviewRequest(case=first, action="undo", by="ann"))
    assert (first, "classes") not in labels.current(records, [first])
    review(workspace, ReviewRequest(case=first, action="correct", value="sick", by="ann"))
    assert _label(records, first).value == "sick"
    again = review(workspace, ReviewRequest(case=first, by="ben"))
    assert (again.label["value"], again.label["provenance"], again.label["author"]) == ("sick", "human-after-ai", "ann")
    assert audit.verify(records) == []


def test_what_is_proposed_of_a_blind_case_stays_hidden_until_it_is_read(opened):
    workspace, records, (_, blind) = opened
    assert review(workspace, ReviewRequest(case=blind)).proposal is None
    with pytest.raises(InputError, match="nothing"):
        review(workspace, ReviewRequest(case=blind, action="accept"))
    assert review(workspace, ReviewRequest(case=blind, action="accept", value="sick")).proposal["label"] == "well"
    assert _label(records, blind).provenance == "human"


def test_the_label_of_a_case_that_is_read_blind_is_hidden_from_who_has_not_read_it(opened):
    workspace, _, (_, blind) = opened
    done = review(workspace, ReviewRequest(case=blind, action="accept", value="sick", by="ann"))
    assert done.label["value"] == "sick"
    assert review(workspace, ReviewRequest(case=blind, by="ben")).label is None
    assert review(workspace, ReviewRequest(case=blind, by="ann")).label["value"] == "sick"


def test_the_second_of_two_readers_does_not_see_what_the_first_said(opened):
    workspace, records, (first, _) = opened
    settings.put(records, {"readers": 2}, "test")
    review(workspace, ReviewRequest(case=first, action="accept", by="ann"))
    assert len(review(workspace, ReviewRequest(case=first, by="ann")).reviews) == 1
    assert review(workspace, ReviewRequest(case=first, by="ben")).reviews == []
    assert len(review(workspace, ReviewRequest(case=first, action="accept", by="ben")).reviews) == 2


def test_the_check_sees_a_proposal_that_is_shown(opened, monkeypatch):
    workspace, _, (_, blind) = opened
    monkeypatch.setattr(reviewing, "unaided", lambda *_: False)
    assert review(workspace, ReviewRequest(case=blind)).proposal is not None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"action": "correct", "value": "blue"}, "bad-value"),
        ({"action": "correct"}, None),
        ({"action": "unsure"}, None),
        ({"action": "undo"}, "no-review"),
    ],
)
def test_what_makes_no_sense_is_refused(opened, words, code):
    workspace, _, (first, _) = opened
    with pytest.raises(InputError) as caught:
        review(workspace, ReviewRequest(case=first, **words))
    assert code in (None, caught.value.code)
    assert review(workspace, ReviewRequest(case=first)).reviews == []


def test_an_action_that_does_not_exist(opened):
    workspace, _, (first, _) = opened
    with pytest.raises(InputError, match="praise"):
        review(workspace, ReviewRequest(case=first, action="praise"))
