"""The training loop: it learns, repeats itself to the bit, outlives kills, full memories, divergence and deadlines."""

import dataclasses
import itertools
import multiprocessing
import signal

import numpy as np
import pytest
import torch

from medloop.errors import InputError
from medloop.learning import checkpoints
from medloop.learning.fitting import train
from medloop.learning.lesson import Cases
from tests.learning import lessons
from tests.learning.lessons import PLAN, Ear, Memory, Net, lesson, same

LONGER = dataclasses.replace(PLAN, epochs=12, rate=0.03)


def plan(**changes):
    return dataclasses.replace(PLAN, **changes)


def start(**changes):
    return checkpoints.plain(Net(**changes).state_dict())


@pytest.fixture(scope="module")
def unbroken():
    return train(lesson())


def test_learns_and_tells_how(stored_arrays):
    ear = Ear()
    pixels, _ = lessons.pixels_and_values()
    given = lesson(plan=LONGER, tell=ear, images=stored_arrays(pixels, shards=3))
    trained = train(given)
    assert max(row["score"] for row in trained.history) > 0.9
    assert [row["epoch"] for row in trained.history] == list(range(1, 13))
    assert set(trained.history[0]) == {"epoch", "loss", "validation_loss", "score", "rate", "seconds", "images_per_second"}
    assert trained.history[-1]["loss"] < 0.8 * trained.history[0]["loss"]
    assert trained.history[0]["rate"] > trained.history[-1]["rate"]
    assert (trained.stopped, trained.where, trained.batch, trained.plan) == ("done", "", 16, LONGER)
    assert ear.done == ear.total == 12 * 4
    assert "epoch 2 of 12, loss 0." in ear.notes[5]
    assert "validation 0." in ear.notes[5]
    assert "score " in ear.notes[5]
    assert not given.net.training
    assert same(given.net.state_dict(), trained.state)


def test_the_best_epoch_is_kept_or_the_last():
    scores = iter([0.5, 0.9, 0.7])
    best = train(lesson(score=lambda *_: next(scores)))
    assert best.best_epoch == 2
    assert same(best.state, train(lesson(plan=plan(stop_after=2), score=lambda *_: 0.5, validation=None)).state)
    scores = iter([0.5, 0.9, 0.7])
    last = train(lesson(plan=plan(kept="last"), score=lambda *_: next(scores)))
    assert last.best_epoch == 3
    assert not same(best.state, last.state)


@pytest.mark.parametrize("average", ["none", "swa"])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_bytes(optimiser, average):
    wanted = plan(optimiser=optimiser, average=average, precision="auto", epochs=2, unfreeze_every=1, swa_from=0.0)
    torch.manual_seed(5)
    np.random.seed(5)
    one = train(lesson(plan=wanted))
    here = torch.get_rng_state()
    torch.manual_seed(6)
    assert same(one.state, train(lesson(plan=wanted)).state)
    assert not same(one.state, train(lesson(plan=wanted, seed=1)).state)
    torch.manual_seed(5)
    assert torch.equal(here, torch.get_rng_state())


def test_the_global_generator_would_be_seen(monkeypatch):
    """Without a seed for each step, dropout follows whatever was drawn before."""
    monkeypatch.setattr("medloop.learning._loop.Loop._seed", lambda *_: None)
    torch.manual_seed(5)
    one = train(lesson())
    torch.manual_seed(6)
    assert not same(one.state, train(lesson()).state)


def killed(folder):
    """A training that was killed by the system in its second epoch."""
    process = multiprocessing.get_context("spawn").Process(target=lessons.learn_and_die, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return folder


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, unbroken, monkeypatch):
    killed(tmp_path)
    ear = Ear()
    resumed = train(lesson(folder=tmp_path, tell=ear))
    assert ear.said == ["Training goes on after epoch 1 of 3."]
    assert same(resumed.state, unbroken.state)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in unbroken.history]

    again = train(lesson(folder=tmp_path, augment=None, tell=ear))
    assert same(again.state, unbroken.state), "a training that has ended is not repeated"
    checkpoints.clear(tmp_path)
    assert not tmp_path.exists()


def stop_after_one_epoch(folder):
    """A checkpoint after the first epoch: the time is over in the second."""
    times = itertools.count()
    return train(lesson(folder=folder, clock=lambda: next(times), deadline=12.0))


@pytest.mark.parametrize("forgotten", ["restore_optimiser", "nothing"])
def test_a_forgotten_part_of_the_state_would_be_seen(tmp_path, unbroken, monkeypatch, forgotten):
    assert stop_after_one_epoch(tmp_path).stopped == "deadline"
    if forgotten != "nothing":
        monkeypatch.setattr(checkpoints, forgotten, lambda *_: None)
    ear = Ear()
    resumed = train(lesson(folder=tmp_path, tell=ear))
    assert ear.said == ["Training goes on after epoch 1 of 3."]
    assert same(resumed.state, unbroken.state) == (forgotten == "nothing")


@pytest.mark.parametrize("change", [{"seed": 1}, {"about": "another loss"}, {"plan": plan(rate=0.02)}, {"net": Net(dropout=0.2)}])
def test_checkpoints_of_another_lesson_are_left_alone(tmp_path, change):
    stop_after_one_epoch(tmp_path)
    if "net" in change:
        change["net"].head.bias.data += 1
    ear = Ear()
    train(lesson(folder=tmp_path, tell=ear, **change))
    assert ear.said == []


def test_a_deadline_keeps_whole_epochs_and_its_plan_repeats_them(tmp_path):
    short = stop_after_one_epoch(tmp_path)
    assert (short.stopped, len(short.history), short.plan) == ("deadline", 1, plan(stop_after=1))
    repeated = train(lesson(plan=short.plan))
    assert repeated.stopped == "done"
    assert same(repeated.state, short.state)
    none = train(lesson(deadline=0.0, clock=lambda: 1.0))
    assert (none.stopped, none.best_epoch, none.history) == ("deadline", 0, [])
    assert same(none.state, start())


def spoilt(pixels, targets, epoch, first):
    pixels, targets = lessons.noisy(pixels, targets, epoch, first)
    return (pixels * float("nan") if epoch == 2 and first >= 30 else pixels), targets


def test_a_loss_that_is_no_number_ends_training_and_keeps_the_last_good_weights():
    ear = Ear()
    trained = train(lesson(augment=spoilt, tell=ear))
    assert (trained.stopped, trained.best_epoch) == ("nan", 1)
    assert trained.where.startswith("in epoch 2, batch 3 of 4, at rate 0.00")
    assert "the weights after epoch 1 are kept" in ear.said[-1]
    assert all(bool(torch.isfinite(each).all()) for each in trained.state.values())
    assert same(trained.state, train(lesson(plan=plan(stop_after=1))).state)


def test_divergence_in_the_first_epoch_leaves_the_first_weights():
    ear = Ear()
    trained = train(lesson(plan=plan(optimiser="sgd", rate=1e30, clip=0.0, warm_up=0.0), tell=ear))
    assert (trained.stopped, trained.best_epoch) == ("nan", 0)
    assert "the first weights are kept" in ear.said[-1]
    assert same(trained.state, start())


def test_full_memory_halves_what_goes_through_at_once_and_the_plan_repeats_it():
    ear = Ear()
    trained = train(lesson(net=Net(room=5), tell=ear))
    assert trained.batch == 4
    assert [text.split(":")[0] for text in ear.said] == [f"Memory does not hold {n} images at once" for n in (15, 8)]
    assert trained.plan == plan(at_once=4)
    assert same(trained.state, train(lesson(plan=trained.plan)).state)


def test_full_memory_in_validation_too():
    ear = Ear()
    trained = train(lesson(net=Net(room=15), tell=ear))
    assert trained.stopped == "done"
    assert len(ear.said) == 1


def test_memory_that_holds_not_even_two_is_an_error():
    with pytest.raises(InputError) as error:
        train(lesson(net=Net(room=1)))
    assert error.value.code == "out-of-memory"


def test_other_errors_are_not_taken_for_full_memory():
    with pytest.raises(RuntimeError, match="expected input"):
        train(lesson(augment=lambda pixels, targets, epoch, first: (pixels.expand(-1, 2, -1, -1), targets)))


def test_parts_of_a_batch_learn_what_the_whole_does():
    wanted = plan(norms="keep", optimiser="sgd", average="none")
    whole = train(lesson(plan=wanted, net=Net(dropout=0.0)))
    parts = train(lesson(plan=dataclasses.replace(wanted, at_once=5), net=Net(dropout=0.0)))
    assert not same(whole.state, start())
    for name, each in whole.state.items():
        torch.testing.assert_close(parts.state[name], each, rtol=1e-4, atol=1e-6)


def test_on_a_cpu_few_large_images_go_through_at_once_and_learn_the_same():
    wanted = plan(norms="keep")
    few = train(lesson(plan=wanted, seen=80_000))
    assert (few.batch, few.plan) == (5, wanted)
    assert same(few.state, train(lesson(plan=dataclasses.replace(wanted, at_once=5))).state)
    assert train(lesson(plan=plan(norms="learn"), seen=80_000)).batch == 16, "batch norms need the whole batch"


def test_a_score_that_is_no_number_is_the_worst():
    scores = iter([float("nan"), 0.1, float("nan")])
    trained = train(lesson(score=lambda *_: next(scores)))
    assert trained.best_epoch == 2
    assert [row["score"] for row in trained.history] == [None, 0.1, None]


def test_patience_ends_training():
    scores = iter([0.5, 0.7, 0.6, 0.7, 0.65, 0.9])
    trained = train(lesson(plan=plan(epochs=6, patience=2), score=lambda *_: next(scores)))
    assert (trained.stopped, trained.best_epoch, len(trained.history)) == ("patience", 2, 4)


def test_without_validation_the_last_epoch_is_kept():
    trained = train(lesson(validation=None, score=None))
    assert trained.best_epoch == 3
    assert trained.history[-1]["validation_loss"] is trained.history[-1]["score"] is None


def test_frozen_blocks_and_kept_statistics_do_not_change():
    trained = train(lesson(plan=plan(frozen=1)))
    moved = {name for name, each in trained.state.items() if not torch.equal(each, start()[name])}
    assert moved == {"deep.weight", "deep.bias", "head.weight", "head.bias"}
    kept = train(lesson(plan=plan(norms="keep")))
    assert torch.equal(kept.state["norm.running_mean"], start()["norm.running_mean"])
    assert not torch.equal(kept.state["norm.weight"], start()["norm.weight"])


def test_gradual_unfreezing_trains_the_head_first():
    early = train(lesson(plan=plan(unfreeze_every=1, stop_after=1))).state
    later = train(lesson(plan=plan(unfreeze_every=1, stop_after=2))).state
    first = start()
    assert torch.equal(early["deep.weight"], first["deep.weight"])
    assert not torch.equal(early["head.weight"], first["head.weight"])
    assert not torch.equal(later["deep.weight"], first["deep.weight"])
    assert torch.equal(later["stem.weight"], first["stem.weight"])


def test_every_case_once_an_epoch_in_the_order_asked_for():
    seen = []

    class Watched(Memory):
        def take(self, indices):
            seen.append(np.asarray(indices))
            return super().take(indices)

    pixels, values = lessons.pixels_and_values()
    cases = Cases(images=Watched(pixels), rows=np.arange(60), targets=values[:60])
    backwards = lesson(train=cases, validation=None, order=lambda epoch: np.arange(60)[::-1], plan=plan(epochs=1, batch=13))
    train(backwards)
    assert np.concatenate(seen).tolist() == list(range(60))[::-1]
    assert {len(each) for each in seen} == {12}
    seen.clear()
    train(dataclasses.replace(backwards, order=None, net=Net()))
    assert sorted(np.concatenate(seen)) == list(range(60))
    assert np.concatenate(seen).tolist() != list(range(60))


def test_weights_of_cases_count():
    pixels, values = lessons.pixels_and_values()
    cases = Cases(images=Memory(pixels), rows=np.arange(60), targets=values[:60], weights=(values[:60] == 1).astype(np.float32))
    given = lesson(train=cases, plan=LONGER, validation=None, score=None)
    train(given)
    answers = given.net(torch.from_numpy(pixels[:, :, 0])).argmax(1)
    assert bool((answers == 1).all()), "class 0 weighs nothing"


def test_a_gpu_that_is_absent_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError) as error:
        train(lesson(device="cuda"))
    assert error.value.code == "no-such-gpu"


def test_reduced_precision_learns_the_same():
    plain, reduced = (train(lesson(plan=plan(precision=each))) for each in ("32", "bf16"))
    assert not same(plain.state, reduced.state)
    assert abs(plain.history[-1]["loss"] - reduced.history[-1]["loss"]) < 0.01
