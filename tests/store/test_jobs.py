import threading

import pytest

from medloop.errors import InputError
from medloop.store import audit, jobs


def test_the_life_of_a_job(store):
    first = jobs.add(store, "retrain", {"budget": "10m"}, "ada")
    assert (first.state, first.tries, first.request) == ("queued", 0, {"budget": "10m"})
    taken = jobs.claim(store, worker="one")
    assert (taken.id, taken.state, taken.tries, taken.progress) == (first.id, "running", 1, {"worker": "one"})
    assert jobs.beat(store, first.id, {"stage": "fit", "done": 1, "of": 2})
    jobs.end(store, first.id, "done", result={"model": 1})
    ended = jobs.get(store, first.id)
    assert (ended.state, ended.result, ended.progress["stage"]) == ("done", {"model": 1}, "fit")
    assert ended.created <= ended.started <= ended.heartbeat <= ended.ended
    assert jobs.claim(store) is None
    assert audit.verify(store) == []


def test_the_oldest_waits_no_longer_and_the_same_is_asked_for_once(store):
    first, second = (jobs.add(store, "propose", {"model": number}, "ada") for number in (1, 2))
    assert jobs.add(store, "propose", {"model": 2}, "bob", once=True) == second
    assert jobs.claim(store).id == first.id
    assert jobs.claim(store, first.id) is None
    assert jobs.add(store, "propose", {"model": 1}, "bob", once=True).id > second.id
    assert [row.id for row in jobs.every(store, ("queued",), "propose")] == [second.id + 1, second.id]


def test_what_was_stopped_is_noticed_and_stays_stopped(store):
    row = jobs.add(store, "retrain", {}, "ada")
    jobs.claim(store)
    jobs.end(store, row.id, "stopped", actor="bob")
    assert not jobs.beat(store, row.id)
    jobs.end(store, row.id, "done", result={})
    assert jobs.get(store, row.id).state == "stopped"
    with pytest.raises(InputError):
        jobs.end(store, row.id, "queued")


def test_a_silent_job_is_queued_again(store):
    row = jobs.add(store, "retrain", {}, "ada")
    taken = jobs.claim(store)
    assert jobs.requeue(store, 60) == []
    assert jobs.requeue(store, -1) == [row.id]
    assert not jobs.beat(store, row.id)
    assert jobs.claim(store).tries == 2
    assert not jobs.again(store, row.id, taken.heartbeat)
    assert jobs.again(store, row.id, jobs.get(store, row.id).heartbeat)


def test_no_two_workers_get_the_same_job(store):
    for number in range(6):
        jobs.add(store, "propose", {"number": number}, "ada")
    got = []
    together = threading.Barrier(3)

    def work():
        together.wait()
        while (row := jobs.claim(store)) is not None:
            got.append(row.id)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(got) == [1, 2, 3, 4, 5, 6]
