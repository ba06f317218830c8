import pytest
import sqlalchemy as sa

from medloop.store import arrivals, audit, labels, reviews, studies
from medloop.store.arrivals import Arrival
from medloop.store.records import ReviewRow, StudyRow


def arrival(name, given=None, **more):
    row = {key: more.pop(key) for key in ("patient", "state") if key in more}
    return Arrival(study=StudyRow(name=name, content=f"hash of {name}", **{"state": "ready"} | row), labels=given or {}, **more)


def test_many_come_with_their_labels_and_a_second_time_change_nothing(store):
    lot = [arrival("a", {"classes": "normal"}, patient="P"), arrival("b")]
    first = arrivals.keep(store, lot, "ada")
    assert [(each.number, each.fresh, each.labels) for each in first] == [(1, True, 1), (2, True, 0)]
    end = audit.last(store)
    assert [(each.number, each.fresh, each.labels) for each in arrivals.keep(store, lot, "ada")] == [(1, False, 0), (2, False, 0)]
    assert audit.last(store) == end
    assert labels.current(store)[1, "classes"].provenance == "imported"
    assert [studies.get(store, number).state for number in (1, 2)] == ["done", "ready"]
    assert arrivals.known(store, ["hash of b", "x"]) == {"hash of b": 2}
    assert audit.verify(store) == []


def test_what_a_person_said_is_not_overruled_by_a_table(store):
    arrivals.keep(store, [arrival("a")], "ada")
    reviews.commit(store, ReviewRow(case_id=1, author="ada", action="correct", value="tumour"))
    arrivals.keep(store, [arrival("a", {"classes": "normal"})], "ada")
    assert labels.current(store)[1, "classes"].value == "tumour"


def test_all_come_or_none(store):
    bad = arrival("b", {"classes": object()})  # nothing that JSON can say
    with pytest.raises((sa.exc.StatementError, TypeError)):
        arrivals.keep(store, [arrival("a"), bad], "ada")
    assert studies.counts(store)["ready"] == 0
    assert audit.verify(store) == []


def test_a_longer_series_takes_the_place_of_the_shorter_one_unless_it_was_read(store):
    arrivals.keep(store, [arrival("short"), arrival("read")], "ada")
    reviews.commit(store, ReviewRow(case_id=2, author="ada", action="correct", value="normal"))
    kept = arrivals.keep(store, [arrival("long", replaces=1), arrival("longer", replaces=2)], "ada")
    assert [each.replaced for each in kept] == [True, False]
    assert [studies.get(store, number).state for number in (1, 2)] == ["rejected", "done"]


def test_arriving_studies_are_ready_when_it_is_quiet(store):
    arrivals.keep(store, [arrival("a", state="arriving")], "ada")
    assert arrivals.settle(store, 60, "ada") == []
    assert arrivals.settle(store, -1, "ada") == [1]
    assert studies.get(store, 1).ready is not None
