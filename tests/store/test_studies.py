import itertools
import threading

import pytest
import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import audit, labels, proposals, reviews, studies
from medloop.store.records import LabelRow, ProposalRow, ReviewRow, StudyRow
from medloop.store.studies import Filter
from medloop.types import ImageRef

ALL = {
    "useful": [7, 1, 4, 5, 2, 3, 6],
    "urgency": [3, 5, 1, 2, 4, 6, 7],
    "arrival": [1, 2, 3, 4, 5, 6, 7],
    "newest": [7, 6, 5, 4, 3, 2, 1],
}


@pytest.fixture
def worklist(store):
    """Seven studies in three states, with ties in priority and urgency."""
    given = [
        ("ready", 0.5, 0),
        ("proposed", 0.1, 0),
        ("ready", 0.1, 2),
        ("reading", 0.5, 0),
        ("ready", 0.5, 1),
        ("proposed", 0.1, 0),
    ]
    for number, (state, priority, urgency) in enumerate([*given, ("proposed", 0.9, 0)], start=1):
        site = "north" if number % 2 else "south"
        row = StudyRow(name=f"{number}.png", content=f"hash {number}", state=state, priority=priority, urgency=urgency, site=site)
        studies.add(store, row, "ada")
    return store


def test_pages_of_any_size_give_each_study_once_in_order(worklist):
    for order, limit in itertools.product(studies.ORDERS, (1, 2, 3, 50)):
        seen, after = [], None
        while True:
            page = studies.page(worklist, order, limit=limit, after=after)
            assert len(page.rows) <= limit
            seen += [row.id for row in page.rows]
            after = page.after
            if after is None:
                break
        assert seen == ALL[order], (order, limit)


def test_who_leaves_or_comes_between_two_pages_disturbs_nobody(worklist):
    first = studies.page(worklist, "arrival", limit=3)
    studies.set_state(worklist, 2, "done", "ada")
    studies.add(worklist, StudyRow(name="8", content="hash 8", state="ready"), "ada")
    second = studies.page(worklist, "arrival", limit=9, after=first.after)
    assert [row.id for row in second.rows] == [4, 5, 6, 7, 8]


def test_a_page_reads_an_index_and_not_the_table(worklist):
    if worklist.postgresql:
        pytest.skip("with seven rows PostgreSQL rightly reads the table")
    with worklist.read() as connection:
        for order, column in (("useful", "priority"), ("urgency", "urgency")):
            wanted = f"SELECT name FROM studies WHERE state = 'ready' AND {column} < 1 ORDER BY {column} DESC, id LIMIT 5"
            plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {wanted}"))
            assert "USING INDEX ix_studies_" in plan, order
            assert "TEMP B-TREE" not in plan, order


def test_filters(worklist):
    def ids(**which):
        return [row.id for row in studies.page(worklist, "arrival", Filter(**which)).rows]

    assert ids(states=("ready",)) == [1, 3, 5]
    assert ids(site="south") == [2, 4, 6]
    assert ids(text="3.P") == [3]
    assert ids(text="%") == ids(text="_") == []
    reviews.commit(worklist, ReviewRow(case_id=5, author="ada", action="correct", value="x"))
    assert ids(states=("done",), unread_by="ada") == []
    assert ids(states=("done",), unread_by="bob") == [5]
    assert studies.count(worklist, Filter(site="south")) == 3
    assert studies.counts(worklist) == dict.fromkeys(studies.STATES, 0) | {"ready": 2, "proposed": 3, "reading": 1, "done": 1}


def test_senseless_lists_are_refused(worklist):
    places = [{"after": "x"}, {"after": "1; DROP"}, {"limit": 0}, {"limit": 10_000}]
    for wrong in [*places, {"order": "best"}, {"which": Filter(states=("lost",))}]:
        with pytest.raises(InputError):
            studies.page(worklist, **wrong)


def test_the_same_content_is_the_same_study(store, study):
    first = study()
    assert studies.add(store, StudyRow(name="other", content="hash of a.png"), "bob") == (first, False)
    assert studies.get(store, first).name == "a.png"
    assert audit.last(store)[0] == 1
    assert studies.find(store, "hash of a.png") == first
    assert studies.find(store, "x") is None


def test_many_at_once_add_the_same_study_once(store):
    given = []
    together = threading.Barrier(8)

    def add():
        together.wait()
        given.append(studies.add(store, StudyRow(name="a", content="a"), "ada"))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(given) == sorted([(1, True), *[(1, False)] * 7])


def test_references_keep_everything_and_name_blobs_by_key(store, study):
    key = store.blobs.put(b"pixels", ".nii.gz")
    ref = ImageRef(
        name="a.nii.gz",
        reader="nifti",
        files=(str(store.blobs.path(key)), "/elsewhere/b.nii"),
        item="train/3",
        shape=(1, 2, 3, 4, 5),
        dtype="float32",
        spacing_mm=(1.5, 0.1, 0.3),
        colour=True,
        stamp="s",
        digest="d",
        patient="P",
        study="S",
        series="R",
        facts=(("modality", "CT"),),
    )
    case = study(refs=(ref,))
    assert studies.get(store, case).refs == (ref,)
    assert studies.many(store, [case, 99])[0].refs == (ref,)
    assert studies.page(store, refs=True).rows[0].refs == (ref,)
    assert studies.page(store).rows[0].refs == ()
    with store.read() as connection:
        said = str(connection.scalar(sa.text("SELECT refs FROM studies")))
    assert f"blob:{key}" in said
    assert str(store.root) not in said  # the workspace may move


def test_what_is_not_there_is_said(store):
    for number in (0, 99, 2**40, -1):
        with pytest.raises(InputError, match="no study"):
            studies.get(store, number)


def test_a_proposal_moves_a_ready_study_and_gives_it_its_priority(store, study):
    case, other = study(), study("b.png", state="reading")
    new = [ProposalRow(case_id=each, model_id=1, label="p", priority=0.7, probabilities={"p": 0.25}) for each in (case, other)]
    first, second = proposals.append(store, new, "worker")
    assert [studies.get(store, each).state for each in (case, other)] == ["proposed", "reading"]
    assert studies.get(store, case).priority == 0.7
    (third,) = proposals.append(store, [ProposalRow(case_id=case, model_id=2, label="n")], "worker")
    assert {row.id for row in proposals.latest(store).values()} == {second, third}
    assert proposals.latest(store, [case], model_id=1)[case].id == first
    assert proposals.get(store, first).probabilities == {"p": 0.25}
    assert [row.id for row in proposals.history(store, case)] == [first, third]


def test_proposals_come_all_or_none(store, study):
    case = study()
    with pytest.raises(InputError):
        proposals.append(store, [ProposalRow(case_id=each, model_id=1, label="p") for each in (case, 99)], "worker")
    assert proposals.history(store, case) == []
    assert studies.get(store, case).state == "ready"


def test_a_models_label_never_outweighs_a_persons(store, study):
    case = study()
    human = labels.append(store, LabelRow(case_id=case, value="normal", provenance="human"), "ada")
    labels.append(store, LabelRow(case_id=case, value="tumour", provenance="ai-only"), "worker")
    later = labels.append(store, LabelRow(case_id=case, value="other", provenance="imported"), "ada")
    assert labels.current(store)[case, "classes"].value == "other"
    assert labels.current(store, upto=later.id - 1)[case, "classes"].id == human.id
    only = study("b.png")
    labels.append(store, LabelRow(case_id=only, value="tumour", provenance="ai-only"), "worker")
    assert (only, "classes") in labels.current(store)
    assert (only, "classes") not in labels.current(store, truth=True)
    with pytest.raises(ValueError, match="guess"):
        labels.append(store, LabelRow(case_id=only, value="x", provenance="guess"), "ada")


def test_states_are_those_there_are(store, study):
    case = study()
    studies.set_state(store, case, "second-look", "audit", "looks wrong")
    row = studies.get(store, case)
    assert (row.state, row.why) == ("second-look", "looks wrong")
    with pytest.raises(InputError, match="cannot go"):
        studies.set_state(store, case, "lost", "ada")
    studies.set_urgency(store, case, 5, "ada")
    studies.set_priorities(store, {case: 0.25})
    studies.draw(store, case, "ada", frozen=True)
    row = studies.get(store, case)
    assert (row.urgency, row.priority, row.frozen, row.blind) == (5, 0.25, True, False)
    assert audit.verify(store) == []
