import threading

import pytest

from medloop.errors import InputError
from medloop.store import accounts, audit, drafts, labels, proposals, reviews, settings, studies
from medloop.store.records import ProposalRow, ReviewRow


@pytest.fixture
def proposed(store, study):
    case = study()
    (number,) = proposals.append(store, [ProposalRow(case_id=case, model_id=1, label="pneumonia", confidence=0.9)], "worker")
    return case, number


def say(store, case, author="ada", action="correct", value="normal", *, seen=None, **more):
    return reviews.commit(store, ReviewRow(case_id=case, author=author, action=action, value=value, **more), seen)


def test_accept_says_what_was_accepted_and_is_done(store, proposed):
    case, number = proposed
    review = say(store, case, action="accept", value=None, proposal_id=number, seconds=4.5)
    label = labels.current(store)[case, "classes"]
    assert (review.value, label.value, label.provenance, label.review_id) == ("pneumonia", "pneumonia", "human-after-ai", review.id)
    assert studies.get(store, case).state == "done"
    assert audit.verify(store) == []


def test_blind_reading_is_human(store, proposed):
    case, number = proposed
    say(store, case, proposal_id=number, blind=True)
    assert labels.current(store)[case, "classes"].provenance == "human"


def test_findings_become_labels_of_their_targets(store, proposed):
    case, _ = proposed
    say(store, case, value=None, findings={"masks": "key", "boxes": None})
    assert {target: row.value for (_, target), row in labels.current(store, [case]).items()} == {"masks": "key"}


def test_second_of_two_gets_already_read_and_writes_nothing(store, proposed):
    case, _ = proposed
    say(store, case)
    with pytest.raises(reviews.AlreadyRead) as refused:
        say(store, case, author="bob", value="pneumonia")
    assert refused.value.by == "ada"
    assert refused.value.http_status == 409
    assert [row.author for row in reviews.of_case(store, case)] == ["ada"]
    assert labels.current(store)[case, "classes"].value == "normal"


def test_without_the_check_a_reading_would_be_doubled(store, proposed, monkeypatch):
    """Broken on purpose: what the tests above see is the check's doing."""
    case, _ = proposed
    monkeypatch.setattr(reviews, "_agree", lambda *_: None)
    say(store, case)
    say(store, case, author="bob", value="pneumonia")
    assert [row.author for row in reviews.of_case(store, case)] == ["ada", "bob"]


def test_who_has_seen_the_review_may_correct_it(store, proposed):
    case, _ = proposed
    say(store, case)
    say(store, case, author="bob", value="pneumonia", seen=reviews.head(store, case))
    assert labels.current(store)[case, "classes"].value == "pneumonia"
    assert len(labels.history(store, case)) == 2


def test_many_at_once_on_the_same_case_one_wins(store, proposed):
    case, _ = proposed
    outcomes = []
    together = threading.Barrier(8)

    def read(name):
        together.wait()
        try:
            outcomes.append(say(store, case, author=name).author)
        except reviews.AlreadyRead as refused:
            outcomes.append(f"after {refused.by}")

    readers = [threading.Thread(target=read, args=(f"reader {number}",)) for number in range(8)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    (winner,) = [row.author for row in reviews.of_case(store, case)]
    assert sorted(outcomes) == sorted([winner, *[f"after {winner}"] * 7])


def test_undo_takes_the_label_back_and_stays_in_the_record(store, proposed):
    case, _ = proposed
    review = say(store, case)
    assert reviews.last_of(store, "ada").id == review.id
    reviews.undo(store, review.id, "ada")
    assert labels.current(store) == {}
    assert studies.get(store, case).state == "proposed"
    assert [row.action for row in reviews.of_case(store, case)] == ["correct", "undo"]
    assert reviews.standing(store) == []
    assert reviews.last_of(store, "ada") is None


def test_undo_of_a_later_correction_brings_the_former_label_back(store, proposed):
    case, _ = proposed
    first = say(store, case)
    second = say(store, case, author="bob", value="pneumonia", seen=first.id)
    reviews.undo(store, second.id, "bob")
    assert labels.current(store)[case, "classes"].value == "normal"


@pytest.mark.parametrize("author", ["bob", "ada"])
def test_only_ones_own_review_is_undone_and_once(store, proposed, author):
    case, _ = proposed
    review = say(store, case)
    if author == "ada":
        reviews.undo(store, review.id, "ada")
    with pytest.raises(InputError, match="Only one's own"):
        reviews.undo(store, review.id, author)


def test_undo_of_what_somebody_went_on_from_is_refused(store, proposed):
    case, _ = proposed
    first = say(store, case)
    say(store, case, author="bob", seen=first.id)
    with pytest.raises(reviews.AlreadyRead):
        reviews.undo(store, first.id, "ada")


@pytest.mark.parametrize(
    ("action", "value", "reason"),
    [("accept", None, ""), ("correct", None, ""), ("reject", None, " "), ("unsure", None, ""), ("agree", "normal", "")],
)
def test_senseless_reviews_are_refused_and_not_kept(store, proposed, action, value, reason):
    case, _ = proposed
    with pytest.raises(InputError):
        say(store, case, action=action, value=value, reason=reason)
    assert reviews.of_case(store, case) == []


@pytest.mark.parametrize(("action", "state"), [("reject", "rejected"), ("unsure", "adjudication")])
def test_without_a_label(store, proposed, action, state):
    case, _ = proposed
    say(store, case, action=action, value=None, reason="wrong patient")
    row = studies.get(store, case)
    assert (row.state, row.why, labels.current(store)) == (state, "wrong patient", {})


class TestTwoReaders:
    @pytest.fixture(autouse=True)
    def _two(self, store):
        settings.put(store, {"readers": 2}, "ada")

    def test_agreement_makes_the_label(self, store, proposed):
        case, _ = proposed
        say(store, case)
        assert (studies.get(store, case).state, labels.current(store)) == ("reading", {})
        say(store, case, author="bob")  # has not seen the first reading, and need not
        assert studies.get(store, case).state == "done"
        assert labels.current(store)[case, "classes"].value == "normal"

    def test_disagreement_goes_to_adjudication_which_decides(self, store, proposed):
        case, _ = proposed
        say(store, case)
        last = say(store, case, author="bob", value="pneumonia")
        assert (studies.get(store, case).state, labels.current(store)) == ("adjudication", {})
        say(store, case, author="eve", value="pneumonia", seen=last.id)
        assert studies.get(store, case).state == "done"
        assert labels.current(store)[case, "classes"].author == "eve"

    def test_the_same_person_is_not_two(self, store, proposed):
        case, _ = proposed
        first = say(store, case)
        with pytest.raises(reviews.AlreadyRead):
            say(store, case)
        say(store, case, seen=first.id)
        assert studies.get(store, case).state == "reading"

    def test_a_third_who_has_not_seen_them_is_refused(self, store, proposed):
        case, _ = proposed
        say(store, case)
        say(store, case, author="bob")
        with pytest.raises(reviews.AlreadyRead):
            say(store, case, author="eve")


@pytest.mark.usefixtures("cheap_passwords")
def test_a_commit_ends_the_draft_of_its_author_only(store, proposed):
    case, _ = proposed
    mine, other = (accounts.add(store, name, "reader", "a long password", "ada").id for name in ("ada", "bob"))
    for each in (mine, other):
        drafts.put(store, case, each, {"value": "normal"})
    say(store, case)
    assert drafts.get(store, case, mine) is None
    assert drafts.get(store, case, other) == {"value": "normal"}


def test_odd_text_is_kept_as_text(store, study):
    odd = "'; DROP TABLE labels; -- <script>\0\ud800 \N{PILE OF POO}"
    case = study(odd, content="hash", patient=odd, site=odd, attributes={"sex": odd})
    say(store, case, author=odd, value=odd, reason=odd)
    assert audit.verify(store) == []
    assert "DROP TABLE" in labels.current(store)[case, "classes"].reason
    assert studies.of_patient(store, odd)[0].id == case


def test_whole_seconds_are_vouched_for_as_they_are_kept(store, study):
    """SQLite gives a REAL without a fraction as an integer when it is asked while inserting."""
    reviews.commit(store, ReviewRow(case_id=study(), author="ann", action="correct", value="a", seconds=1.0))
    assert audit.verify(store) == []
