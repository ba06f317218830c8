from __future__ import annotations

import dataclasses
import hashlib

import cv2
import numpy as np
import pytest

from medloop import families, features
from medloop.compute import Compute
from medloop.errors import InputError, Refused
from medloop.families import FitJob, _linear, transfer
from medloop.features import _table, network
from medloop.networks import running
from medloop.prepared import PreparedArrays
from medloop.types import Case, Dataset, Recipe, Step, Target, TargetKind

SIDE = 32
FEW = {"how": "linear", "side": SIDE, "epochs": 12, "rate": 0.01, "folds": 3}
TARGETS = {
    "two classes": Target(TargetKind.BINARY, ("small", "large")),
    "three classes": Target(TargetKind.MULTICLASS, ("none", "one", "two")),
    "several labels": Target(TargetKind.MULTILABEL, ("left", "right")),
    "a number": Target(TargetKind.NUMBER, (), "age", "years"),
}


def _pictures(kinds, seed=0):
    """Colour pictures 32 by 32: noise with a disc that grows with the kind, left of the middle."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(80, 120, (len(kinds), SIDE, SIDE, 3), dtype=np.uint8)
    for picture, kind in zip(pixels, kinds, strict=True):
        cv2.circle(picture, (12, 16), 3 + 4 * int(kind), (220, 60, 150), -1)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))[:, :, None]


def _values(target, kinds):
    if target.kind is TargetKind.MULTILABEL:
        values = np.stack([kinds > 0, kinds == 2], axis=1).astype(np.float32)
        values[::9, 0] = np.nan
        return values
    if target.kind is TargetKind.BINARY:
        return (kinds > 0).astype(np.int64)
    return kinds.astype(np.float64 if target.kind is TargetKind.NUMBER else np.int64)


class Said:
    """Progress that remembers what was said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def task(self, label, total=None):
        from medloop.progress import QUIET

        return QUIET.task(label, total)


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    """How well a layer learns is told for exact features: of few pictures of noise, so alike, rounding would count."""
    monkeypatch.setattr(running, "precision", lambda: "float32")


@pytest.fixture
def make_job(stored_arrays, tmp_path):
    def make(target=TARGETS["three classes"], kinds=None, groups=None, tell=None, pixels=None, **more):
        kinds = np.arange(60) % 3 if kinds is None else np.asarray(kinds)
        numbers = np.arange(len(kinds))
        groups = numbers if groups is None else np.asarray(groups)
        cases = tuple(Case(f"case {number}", (), patient=f"patient {groups[number]}") for number in numbers)
        data = Dataset(cases, target, _values(target, kinds), groups, groups, np.array(["train"] * len(kinds)), "fingerprint")
        return FitJob(
            dataset=data,
            arrays=stored_arrays(_pictures(kinds) if pixels is None else pixels, colour=True),
            train=numbers,
            recipe=Recipe("classic", "transfer", (Step("clean", {}),), FEW | more, seed=1),
            deadline=0.0,
            cache=tmp_path / "cache",
            compute=Compute(0),
            **({} if tell is None else {"tell": tell}),
        )

    return make


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]


def test_every_kind_of_target_is_learnt_saved_and_learnt_again(make_job, target, tmp_path):
    job = make_job(target, **({"rate": 0.0002, "epochs": 60} if target.kind is TargetKind.NUMBER else {}))
    fitted = transfer.fit(job)
    out = fitted.out_of_fold
    assert np.isfinite(out.raw).all()
    assert fitted.trials[0]["score"] > 0.8
    model = fitted.model
    answers = model.predict(job.arrays)
    families.save(model, tmp_path / "a")
    loaded = families.load(tmp_path / "a")
    np.testing.assert_array_equal(loaded.predict(job.arrays, cache=tmp_path / "other").probabilities, answers.probabilities)
    again = transfer.fit(dataclasses.replace(job, recipe=fitted.recipe, cache=None))
    families.save(again.model, tmp_path / "b")
    one, two = ({path.name: hashlib.sha256(path.read_bytes()).digest() for path in (tmp_path / at).iterdir()} for at in "ab")
    assert one == two


def test_the_model_answers_as_the_layer_does(make_job):
    """The layer lies on the means of the plain view; nothing is cut off, deviations weigh nothing."""
    job = make_job(flips=["horizontal", "vertical"])
    model = transfer.fit(job).model
    [eye], [state], [head] = model.features, model.states, model.heads
    rows = features.extract(job.arrays.take(range(60)), eye, state).astype(np.float64)
    width = rows.shape[1] // 2
    weights = head.scorer.weights
    assert not weights[width:].any()
    expected = rows[:, :width] @ weights[:width] + head.scorer.bias
    np.testing.assert_allclose(model.raw(job.arrays), expected, atol=1e-5)
    assert np.abs(rows).max() > 0


@pytest.mark.parametrize(
    ("flips", "axes"), [([], []), (["horizontal"], [-1]), (["vertical"], [-2]), (["vertical", "horizontal"], [-1, -2])], ids=str
)
def test_flips_are_really_applied(make_job, monkeypatch, flips, axes):
    """What the layer learns from is what the network says of the flipped pictures themselves."""
    job = make_job(flips=flips)
    seen = {}
    monkeypatch.setattr(_linear._sgd, "learn", _remember(seen, _linear._sgd.learn))
    model = transfer.fit(job).model
    pixels = job.arrays.take(range(60))
    views = [pixels]
    for axis in axes:
        views += [np.flip(each, axis) for each in views]
    expected = [features.extract(np.ascontiguousarray(each), model.features[0], model.states[0]) for each in views]
    got = seen["rows"]
    assert got.shape[1] == len(expected) == 2 ** len(axes)
    for place, rows in enumerate(expected):
        np.testing.assert_allclose(got[:, place], rows[:, : got.shape[2]], atol=1e-4)
    if axes:
        assert np.abs(got[:, 0] - got[:, 1]).max() > 0.01, "a flip changes what is learnt from"


def test_flips_left_out_are_caught_by_the_test_above(make_job, monkeypatch):
    seen = {}
    monkeypatch.setattr(_linear._sgd, "learn", _remember(seen, _linear._sgd.learn))
    monkeypatch.setattr(network, "_turned", lambda images, view: images)
    transfer.fit(make_job())
    assert np.abs(seen["rows"][:, 0] - seen["rows"][:, 1]).max() == 0


def _remember(seen, learn):
    def spy(views, *rest):
        seen["rows"] = np.asarray(views.rows)
        return learn(views, *rest)

    return spy


def test_images_are_streamed(make_job, monkeypatch):
    """At no time are the pixels of more than a few images in memory."""
    held = []
    take, read = PreparedArrays.take, _table.read
    monkeypatch.setattr(PreparedArrays, "take", lambda self, rows: held.append(len(rows)) or take(self, rows))
    monkeypatch.setattr(_table, "read", lambda parts: held.append(sum(len(rows) for _, rows in parts)) or read(parts))
    transfer.fit(make_job())
    assert sum(held) >= 60
    assert max(held) <= 8


def test_every_epoch_is_told_and_the_best_kept(make_job):
    tell = Said()
    fitted = transfer.fit(make_job(tell=tell))
    [trial] = fitted.trials
    told = [line for line in tell.lines if line.startswith("Epoch")]
    assert len(told) == len(trial["history"]) == FEW["epochs"]
    for row, line in zip(trial["history"], told, strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            assert f"{row[name]:.4f}" in line
    losses = [row["validation_loss"] for row in trial["history"]]
    assert trial["epoch"] == 1 + int(np.argmin(losses))
    assert trial["validation_loss"] == min(losses)
    assert tell.lines[-1] == f"The weights of epoch {trial['epoch']} are kept."
    assert fitted.model.heads[0].spec.params == {"epoch": trial["epoch"]}


def test_groups_are_held_out_whole_and_by_class():
    draw = np.random.default_rng(3)
    groups = np.repeat(np.arange(200), draw.integers(1, 4, 200))
    stratum = (groups % 10 == 0).astype(np.int64)
    held = _linear.held_out(stratum, groups, 0.1, 5)
    assert set(groups[held]).isdisjoint(groups[~held])
    assert len(np.unique(groups[held])) == 20
    assert len(np.unique(groups[held & (stratum == 1)])) == 2
    assert not np.array_equal(held, _linear.held_out(stratum, groups, 0.1, 6))


@pytest.mark.parametrize(
    ("stratum", "share", "count"),
    [([0, 0, 0, 1, 1], 0.1, 1), ([0, 1], 0.5, 0), ([0, 0, 1, 1], 0.9, 2), ([0, 0, 0, 0], 0.0, 0)],
    ids=str,
)
def test_few_groups(stratum, share, count):
    held = _linear.held_out(np.array(stratum), np.arange(len(stratum)), share, 0)
    assert held.sum() == count
    assert set(np.array(stratum)[~held]) == set(stratum), "no class loses its last group"


def test_out_of_fold_answers_come_from_layers_that_saw_nothing_of_the_group(make_job, monkeypatch):
    groups = np.arange(60) // 2
    lessons = []
    learn = _linear._sgd.learn

    def spy(views, seen, held, *rest):
        lessons.append(np.concatenate([seen, held]))
        return learn(views, seen, held, *rest)

    monkeypatch.setattr(_linear._sgd, "learn", spy)
    fitted = transfer.fit(make_job(kinds=np.arange(60) // 2 % 3, groups=groups))
    fold = fitted.out_of_fold.fold
    assert len(lessons) == 4
    for number, lesson in enumerate(lessons[:3]):
        assert set(groups[lesson]).isdisjoint(groups[fold == number])
    assert len(lessons[3]) == 60


def test_labels_without_meaning_are_not_learnt(make_job):
    scores = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        pixels = _pictures(draw.integers(3, size=60), seed)
        job = make_job(TARGETS["two classes"], kinds=draw.permutation(np.arange(60) % 3), pixels=pixels)
        scores.append(transfer.fit(job).trials[0]["score"])
    assert 0.35 < np.mean(scores) < 0.68


def test_layers_that_saw_the_fold_are_caught_by_the_test_above(make_job, monkeypatch):
    learn = _linear._sgd.learn
    monkeypatch.setattr(_linear._sgd, "learn", lambda views, seen, *rest: learn(views, np.arange(60), *rest))
    draw = np.random.default_rng(0)
    pixels = _pictures(draw.integers(3, size=60))
    job = make_job(TARGETS["two classes"], kinds=draw.permutation(np.arange(60) % 3), pixels=pixels, epochs=60, validation=0)
    assert transfer.fit(job).trials[0]["score"] > 0.8


def test_a_saved_model_lends_its_network(make_job, tmp_path):
    first = transfer.fit(make_job())
    families.save(first.model, tmp_path / "first")
    second = transfer.fit(make_job(**{"from": str(tmp_path / "first")}))
    np.testing.assert_array_equal(second.model.heads[0].scorer.weights, first.model.heads[0].scorer.weights)


def test_a_class_of_one_patient_is_refused(make_job):
    with pytest.raises(Refused, match="'two' has 1"):
        transfer.fit(make_job(kinds=[0, 0, 0, 1, 1, 1, 2]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"flip": ["horizontal"]}, "flips"),
        ({"flips": ["diagonal"]}, "horizontal"),
        ({"flips": "horizontal"}, "horizontal"),
        ({"momentum": 1.0}, "below 1"),
        ({"epochs": 0}, "1 or more"),
        ({"rate": True}, "a number"),
        ({"backbone": "tf_efficientnet_lite00"}, "tf_efficientnet_lite0"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(make_job, wrong, says):
    with pytest.raises(InputError) as error:
        transfer.fit(make_job(**wrong))
    assert says in f"{error.value.got} {error.value.allowed} {error.value.fix}"
