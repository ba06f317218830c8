"""Two readers are never sent to one case, by however many server processes; what was taken up goes back after a while."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from medloop import store as stores
from medloop.errors import InputError
from medloop.store import accounts, audit, desk, drafts, reviews, settings, studies
from medloop.store.records import ReviewRow, now
from medloop.store.tables import desks
from medloop.store.upgrade import upgrade, version

_READERS, _CASES = 6, 20


@pytest.fixture
def reader(store, cheap_passwords):
    """A function that makes a reader."""
    return lambda name: accounts.add(store, name, "reader", "long enough", "ada")


@pytest.fixture
def wish(reader):
    """A function that makes a reader's wish for the next case, as they arrived."""

    def make(name, besides=0, **which):
        return desk.Wish(reader=reader(name), order="arrival", which=studies.Filter(**which), besides=besides)

    return make


def _sent(places, wishes):
    """Everybody reads until nothing is left, each at a store of their own: where they were sent, and how many refused."""

    def read(place, wish):
        cases, refused = [], 0
        while (case := desk.claim(place, wish)) is not None:
            cases.append(case)
            try:
                reviews.commit(place, ReviewRow(case_id=case, author=wish.reader.name, action="correct", value="a"))
            except reviews.AlreadyRead:
                refused += 1
                if refused > _CASES:
                    break
        return cases, refused

    with ThreadPoolExecutor(len(wishes)) as pool:
        told = list(pool.map(read, places, wishes))
    return [case for cases, _ in told for case in cases], sum(refused for _, refused in told)


@pytest.fixture
def places(store, database):
    """The same store, opened as so many server processes would."""
    opened = [stores.open(store.root, database) for _ in range(_READERS)]
    yield opened
    for each in opened:
        each.close()


def test_nobody_is_sent_to_a_case_that_somebody_else_has(store, places, study, wish):
    wanted = {study(f"{number}.png") for number in range(_CASES)}
    cases, refused = _sent(places, [wish(f"reader {number}") for number in range(_READERS)])
    assert sorted(cases) == sorted(wanted)
    assert refused == 0
    assert audit.verify(store) == []


def test_without_the_desk_readers_are_seen_to_collide(store, places, study, wish, monkeypatch):
    """The check above fails where the next case is only looked up and not taken."""
    for number in range(_CASES):
        study(f"{number}.png")
    meet = _meeting(_READERS)
    monkeypatch.setattr(desk, "claim", lambda place, wish: meet(desk.following(place, wish)))
    cases, refused = _sent(places, [wish(f"reader {number}") for number in range(_READERS)])
    assert refused > 0
    assert len(cases) > len(set(cases))


def _meeting(count):
    """What all of so many threads looked up, they have looked up before the first of them goes on; once."""
    barrier, first = threading.Barrier(count), threading.local()

    def meet(case):
        if not getattr(first, "met", False):
            first.met = True
            barrier.wait(30)
        return case

    return meet


def test_a_case_stays_on_a_desk_through_a_restart_and_goes_back_after_a_while(store, database, study, wish):
    one, two = study("1.png"), study("2.png")
    ann, ben = wish("ann"), wish("ben")
    assert desk.claim(store, ann) == one
    again = stores.open(store.root, database)
    assert (desk.claim(again, ben), desk.claim(again, ann)) == (two, one)
    with again.write() as connection:
        connection.execute(sa.update(desks).where(desks.c.account_id == ann.reader.id).values(until=now() - timedelta(seconds=1)))
    assert desk.claim(again, ben) == one
    assert desk.claim(again, ann) == two
    again.close()


def _later(monkeypatch, minutes):
    """The clock of the desk goes on by so much."""
    moment = desk.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(desk, "now", lambda: moment)


def _drawn_for_long(store, wish, monkeypatch):
    """Ann redraws for five minutes and saves her draft every two: the case that ben is sent to meanwhile."""
    ann, ben = wish("ann"), wish("ben")
    case = desk.claim(store, ann)
    for _ in range(2):
        _later(monkeypatch, 2)
        drafts.put(store, case, ann.reader.id, {"reason": "the border"})
    _later(monkeypatch, 1)
    return desk.claim(store, ben)


def test_a_case_stays_on_the_desk_while_its_reader_redraws(store, study, wish, monkeypatch):
    _, two = study("1.png"), study("2.png")
    assert _drawn_for_long(store, wish, monkeypatch) == two


def test_without_the_hold_a_case_is_seen_to_be_lost(store, study, wish, monkeypatch):
    one, _ = study("1.png"), study("2.png")
    monkeypatch.setattr(drafts, "hold", lambda connection, case, account: None)
    assert _drawn_for_long(store, wish, monkeypatch) == one


def test_a_draft_takes_no_case_from_another_desk(store, study, wish, monkeypatch):
    one, two = study("1.png"), study("2.png")
    ann, ben = wish("ann"), wish("ben")
    assert desk.claim(store, ann) == one
    _later(monkeypatch, 4)
    assert desk.claim(store, ben) == one
    drafts.put(store, one, ann.reader.id, {})
    assert desk.lies(store, one, ben.reader)
    assert desk.claim(store, ann) == two


def test_a_reader_has_one_case_and_another_one_may_look_but_not_take_it(store, study, wish):
    one, two = study("1.png"), study("2.png")
    ann, ben = wish("ann"), wish("ben")
    assert desk.take(store, two, ann.reader)
    assert not desk.take(store, two, ben.reader)
    assert desk.lies(store, two, ann.reader)
    assert not desk.lies(store, two, ben.reader)
    assert desk.take(store, one, ann.reader)
    assert desk.claim(store, ben) == two
    with pytest.raises(InputError, match="no study 99"):
        desk.take(store, 99, ann.reader)


def test_what_was_passed_over_is_offered_to_others_only(store, study, wish):
    one, two = study("1.png"), study("2.png")
    ann, ben = wish("ann"), wish("ben")
    for _ in range(2):
        desk.pass_over(store, one, ann.reader)
    assert desk.claim(store, replace(ann, besides=one)) == two
    assert desk.claim(store, ann) == two
    assert desk.claim(store, ben) == one
    with pytest.raises(InputError, match="no study 99"):
        desk.pass_over(store, 99, ann.reader)


def test_where_nothing_is_left_the_desk_is_empty(store, study, wish):
    settings.put(store, {"readers": 2}, "ada")
    case = study()
    ann, ben = wish("ann"), wish("ben")
    assert desk.claim(store, ann) == case
    reviews.commit(store, ReviewRow(case_id=case, author="ann", action="correct", value="a"))
    assert desk.claim(store, ann) is None
    assert desk.claim(store, ben) == case


@pytest.mark.parametrize("order", studies.ORDERS)
def test_the_next_case_is_the_first_of_the_list(store, study, reader, order):
    for number, (state, priority, urgency) in enumerate(
        [("ready", 0.5, 0), ("proposed", 0.9, 1), ("second-look", 0.9, 1), ("proposed", 0.1, 5), ("done", 1.0, 9)]
    ):
        study(f"{number}.png", state=state, priority=priority, urgency=urgency, modality="CT" if number % 2 else "MR")
    ann = reader("ann")
    for which in (
        studies.Filter(),
        studies.Filter(modality="MR"),
        studies.Filter(text="3.P"),
        studies.Filter(states=("rejected",)),
    ):
        shown = studies.page(store, order, which).rows
        wish = desk.Wish(reader=ann, order=order, which=which)
        assert desk.following(store, wish) == (shown[0].id if shown else None)
    with pytest.raises(InputError):
        desk.following(store, desk.Wish(reader=ann, order="nonsense", which=studies.Filter()))


def test_a_store_of_the_first_version_gets_desks(store, database, study, wish):
    case = study()
    with store.write() as connection:
        for name in ("desks", "passed"):
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    upgrade(store)
    with store.read() as connection:
        assert version(connection) == "0002"
    assert desk.claim(store, wish("ann")) == case
    assert audit.verify(store) == []
