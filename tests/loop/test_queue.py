"""The worklist: useful cases first, blind ones between them, second looks at the top; nothing proposed is shown of a blind case."""

from __future__ import annotations

import numpy as np
import pytest

from medloop import store
from medloop.compute import Compute
from medloop.evaluation import asking
from medloop.loop import queue as listing
from medloop.loop._clock import Clock
from medloop.loop._intake import Means
from medloop.loop.queue import arrange, merged, queue
from medloop.requests import QueueRequest
from medloop.store import proposals, reviews, settings, studies
from medloop.store.records import ProposalRow, ReviewRow
from medloop.workspace import Workspace
from tests.loop.stored import fill

SURE, UNSURE = 0.97, 0.55


@pytest.fixture
def opened(tmp_path):
    """Forty studies with a proposal each; every second is unsure; two are read blind, one is to be looked at again."""
    with Compute(0) as compute:
        records = store.open(tmp_path / "w")
        numbers = fill(records, tmp_path / "pictures", 40, labelled=False)
        for number in numbers:
            studies.set_state(records, number, "ready", "test")
        chances = [UNSURE + 0.001 * at if at % 2 == 0 else SURE for at in range(40)]
        rows = [
            ProposalRow(
                case_id=number, model_id=1, label="well", confidence=p, probabilities={"well": p, "sick": 1 - p}, priority=1 - p
            )
            for number, p in zip(numbers, chances, strict=True)
        ]
        proposals.append(records, rows, "test")
        for number in numbers[30:32]:
            studies.draw(records, number, "test", blind=True)
        studies.set_state(records, numbers[37], "second-look", "test", "Labelled 'well'; nobody believes it.")
        settings.put(records, {"retrain_after": 3}, "test")
        yield records, numbers, Means(workspace=Workspace(tmp_path / "w"), compute=compute, clock=Clock())
        records.close()


def _unsure_first(records, numbers):
    """Whether the first six that were chosen by the model are those that it is unsure of."""
    page = studies.page(records, "useful", studies.Filter(states=studies.OPEN_STATES), 40)
    chosen = [row.id for row in page.rows if not row.blind and row.state != "second-look"][:6]
    return set(chosen) <= {numbers[at] for at in range(0, 40, 2)}


def test_the_useful_come_first_and_the_blind_come_too(opened):
    records, numbers, means = opened
    assert arrange(records, means) == 1 + 37 + 2
    page = studies.page(records, "useful", studies.Filter(states=studies.OPEN_STATES), 40)
    order = [row.id for row in page.rows]
    assert order[0] == numbers[37]
    assert _unsure_first(records, numbers)
    places = [order.index(number) for number in numbers[30:32]]
    assert places[0] < 12, "at a tenth of the list"
    assert places == sorted(places), "as they arrived"
    arrange(records, means)
    assert [row.id for row in studies.page(records, "useful", studies.Filter(states=studies.OPEN_STATES), 40).rows] == order


def test_the_check_sees_a_list_of_the_sure(opened, monkeypatch):
    records, numbers, means = opened
    real = asking.order
    monkeypatch.setattr(listing.asking, "order", lambda margins, *rest, **more: real(-margins, *rest, **more))
    arrange(records, means)
    assert not _unsure_first(records, numbers)


def test_the_verb_hides_what_is_read_blind(opened):
    _, numbers, means = opened
    found = queue(means.workspace, QueueRequest(limit=40, workers=0))
    assert found.order == "useful"
    assert found.arranged == 40
    assert found.waiting["second-look"] == 1
    by_number = {row["case_id"]: row for row in found.cases}
    for number in numbers[30:32]:
        assert by_number[number]["blind"]
        assert {by_number[number][key] for key in ("label", "confidence", "decision")} == {None}
    assert by_number[numbers[1]]["label"] == "well"
    assert by_number[numbers[37]]["why"].startswith("Labelled")


def test_pages_readers_and_other_orders(opened):
    records, numbers, means = opened
    settings.put(records, {"readers": 2}, "test")
    reviews.commit(records, ReviewRow(case_id=numbers[0], author="ann", action="correct", value="sick"))
    asked = QueueRequest(order="arrival", limit=15, workers=0)
    seen, after = [], None
    while True:
        found = queue(means.workspace, QueueRequest(order="arrival", limit=15, after=after, workers=0))
        seen += [row["case_id"] for row in found.cases]
        after = found.after
        if after is None:
            break
    assert seen == numbers
    assert queue(means.workspace, asked).arranged == 0
    mine = queue(means.workspace, QueueRequest(order="arrival", limit=40, reader="ann", workers=0))
    assert numbers[0] not in [row["case_id"] for row in mine.cases], "the second reading is another reader's"
    reviews.commit(records, ReviewRow(case_id=numbers[0], author="bob", action="correct", value="well"))
    cases = queue(means.workspace, QueueRequest(order="arrival", adjudicate=True, workers=0)).cases
    assert [row["case_id"] for row in cases] == [numbers[0]]


def test_before_any_model_the_typical_and_different_come_first(tmp_path):
    with Compute(0) as compute:
        records = store.open(tmp_path / "w")
        numbers = fill(records, tmp_path / "pictures", 12, labelled=False)
        for number in numbers:
            studies.set_state(records, number, "ready", "test")
        settings.put(records, {"retrain_after": 4}, "test")
        assert arrange(records, Means(workspace=Workspace(tmp_path / "w"), compute=compute, clock=Clock())) == 12
        records.close()


def test_an_empty_list_is_no_trouble(tmp_path):
    records = store.open(tmp_path / "w")
    records.close()
    found = queue(Workspace(tmp_path / "w"), QueueRequest(workers=0))
    assert found.cases == []
    assert found.arranged == 0


def test_two_lists_are_merged_at_their_share():
    found = merged(list(range(90)), list(range(100, 110)), 0.1)
    assert [each for each in found if each < 100] == list(range(90))
    assert [each for each in found if each >= 100] == list(range(100, 110))
    for end in range(20, 101, 20):
        assert abs(sum(each >= 100 for each in found[:end]) - 0.1 * end) <= 1
    assert merged([], [5, 6], 1.0) == [5, 6]
    assert merged([1, 2], [], 0.5) == [1, 2]


def test_margins_of_several_classes_at_once_are_the_least_sure():
    said = ProposalRow(case_id=1, model_id=1, label="a", probabilities={"a": 0.9, "b": 0.5, "c": 0.1})
    assert listing._margin(said) == pytest.approx(0)
    assert listing._margin(None) == 0.5
    assert np.isfinite(listing._margin(ProposalRow(case_id=1, model_id=1, label="")))
