from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medloop import families
from medloop.errors import InputError
from medloop.families import _fine_tuning, _training, _tuning, transfer
from medloop.families._begun import begun
from medloop.networks import running
from medloop.types import Recipe, TargetKind

HALF = np.arange(64) % 2
SMALL = {"side": 32, "stages": [1, 2], "folds": 2}
ONE = {"training": {"epochs": 1, "batch": 16}}


@pytest.fixture
def make(make_job):
    """A function that makes a job for this family: small pictures, a small part of the network."""

    def job(kind, values, *, arrays=None, parameters=None, family="transfer", **more):
        made = make_job(kind, values, **more)
        changed = {} if arrays is None else {"arrays": arrays}
        recipe = Recipe("test", family, parameters={"how": "whole", **SMALL, **ONE, **(parameters or {})}, seed=more.get("seed", 0))
        return dataclasses.replace(made, recipe=recipe, **changed)

    return job


KINDS = {
    "two classes": (TargetKind.BINARY, HALF, "whole"),
    "three classes": (TargetKind.MULTICLASS, np.arange(60) % 3, "last"),
    "several labels": (TargetKind.MULTILABEL, np.stack([HALF, 1 - HALF], 1).astype(float), "whole"),
    "a number": (TargetKind.NUMBER, 50 + np.arange(60) % 3, "whole"),
}


@pytest.mark.parametrize("what", KINDS)
def test_promises_of_a_family(make, tmp_path, what):
    kind, values, how = KINDS[what]
    if kind is TargetKind.MULTILABEL:
        values[::7, 0] = np.nan
    where = (
        {"where": (values - 50) / 2}
        if what == "a number"
        else {"where": HALF}
        if values.ndim > 1
        else {"where": values / max(values)}
    )
    job = make(kind, values, classes=3 if kind is TargetKind.MULTICLASS else 2, parameters={"how": how}, **where)
    fitted = transfer.fit(job)
    assert np.isfinite(fitted.out_of_fold.probabilities).all()
    assert json.loads(json.dumps(fitted.trials)) == list(fitted.trials)
    assert set(fitted.timings) == {"features", "search", "fit"}
    assert {row["fold"] for row in fitted.trials[0]["history"]} == {0, 1, "all"}
    folder = families.save(fitted.model, tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == {"model.json", "arrays.safetensors", "net.onnx", "backbone.safetensors"}
    loaded = families.load(folder)
    answer = fitted.model.predict(job.arrays)
    np.testing.assert_array_equal(loaded.predict(job.arrays).probabilities, answer.probabilities)
    few = fitted.model.predict(job.arrays, [3, 50, 1])
    np.testing.assert_allclose(answer.probabilities[[3, 50, 1]], few.probabilities, atol=1e-5)
    again = transfer.fit(dataclasses.replace(job, recipe=fitted.recipe, cache=None, deadline=0.0))
    assert again.recipe == fitted.recipe
    second = families.save(again.model, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_what_is_there_is_learnt_and_scores_are_of_the_model(make, make_job):
    # the classes are places, and a picture is not judged with its mirror image
    training = {"epochs": 4, "batch": 16, "frozen": 0}
    parameters = {"training": training, "level": False, "head": {"views": 1}}
    job = make(TargetKind.BINARY, HALF, parameters=parameters)
    fitted = transfer.fit(job)
    assert roc_auc_score(HALF, fitted.out_of_fold.raw[:, 0]) > 0.9
    new = make_job(TargetKind.BINARY, HALF, seed=9).arrays
    assert roc_auc_score(HALF, fitted.model.raw(new)[:, 0]) > 0.9
    losses = [row["loss"] for row in fitted.trials[0]["history"] if row["fold"] == "all"]
    assert losses[-1] < losses[0]


def test_labels_without_meaning_are_not_learnt_unless_the_held_out_are_seen(make, monkeypatch):
    draw = np.random.default_rng(0)
    labels, where = draw.permutation(HALF), draw.random(64)
    job = make(TargetKind.BINARY, labels, where=where, parameters={"how": "last", "training": {"epochs": 20}})
    honest = roc_auc_score(labels, transfer.fit(job).out_of_fold.raw[:, 0])
    assert honest < 0.75
    trained = _training.Ground.trained

    def leaks(self, seen, held, *rest):
        return trained(self, np.arange(64), held, *rest)

    monkeypatch.setattr(_training.Ground, "trained", leaks)
    assert roc_auc_score(labels, transfer.fit(dataclasses.replace(job, cache=None)).out_of_fold.raw[:, 0]) > 0.9


def test_a_killed_run_goes_on_and_gives_the_same(make, monkeypatch, tmp_path):
    job = make(TargetKind.BINARY, HALF)
    object.__setattr__(job, "recipe", dataclasses.replace(job.recipe, parameters={"how": "whole", **SMALL}))
    object.__setattr__(job, "deadline", job.clock())
    whole = transfer.fit(dataclasses.replace(job, cache=None))
    train, done = _training.train, []

    def killed(lesson):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(lesson.label)
        return train(lesson)

    with monkeypatch.context() as patch:
        patch.setattr(_training, "train", killed)
        patch.setattr(_training.Ground, "pace", lambda self, plan, steps: 0.01)
        with pytest.raises(KeyboardInterrupt):
            transfer.fit(job)
    folder = job.cache / "training"
    assert list(folder.rglob("*.safetensors"))
    later = dataclasses.replace(job, deadline=job.clock() + 1000)
    with monkeypatch.context() as patch:
        patch.setattr(_training.Ground, "pace", lambda self, plan, steps: math.nan)
        resumed = transfer.fit(later)
    assert resumed.recipe == whole.recipe, "epochs are as settled before"
    assert resumed.model.onnx == whole.model.onnx
    np.testing.assert_array_equal(resumed.out_of_fold.raw, whole.out_of_fold.raw)
    assert not list(folder.iterdir()), "nothing is left of what has ended well"


def test_epochs_fit_the_time(make, monkeypatch):
    monkeypatch.setattr(_training.Ground, "pace", lambda self, plan, steps: 0.01)
    job = make(TargetKind.BINARY, HALF)
    object.__setattr__(job, "recipe", dataclasses.replace(job.recipe, parameters={"how": "whole", **SMALL}))
    found = []
    for seconds in (0, 20, 1e6):
        timed = dataclasses.replace(job, deadline=job.clock() + seconds)
        settings = _fine_tuning._tuning.settings(timed)
        work = _fine_tuning.Work(_training.Ground(timed, settings, None), HALF, None)
        found.append(work._affordable())
    assert found[0] == 1
    assert 1 < found[1] < found[2] == settings.plan.epochs
    assert _fine_tuning.least_seconds(job) == pytest.approx(work.fixed() + work.seconds(1))


def test_a_first_fold_that_takes_too_long_means_fewer_epochs(make, heard, monkeypatch):
    now = [0.0]
    job = make(TargetKind.BINARY, HALF)
    object.__setattr__(job, "recipe", dataclasses.replace(job.recipe, parameters={"how": "whole", **SMALL}))
    job = dataclasses.replace(job, deadline=100.0, clock=lambda: now[0], tell=heard)
    monkeypatch.setattr(_training.Ground, "pace", lambda self, plan, steps: 0.05)
    train = _training.train

    def slow(lesson):
        now[0] += 10.0 * lesson.plan.epochs
        return train(lesson)

    monkeypatch.setattr(_training, "train", slow)
    fitted = transfer.fit(job)
    told = [text for text in heard.said if "instead of" in text]
    assert len(told) == 1
    epochs = fitted.recipe.parameters["training"]["epochs"]
    assert f"{epochs} epochs" in told[0]
    assert {row["epoch"] for row in fitted.trials[0]["history"]} == set(range(1, epochs + 1))


def test_frozen_blocks_stay_as_they_came(make):
    parameters = {"training": {"epochs": 1, "frozen": 2, "norms": "learn"}}
    job = make(TargetKind.BINARY, HALF[:32], parameters=parameters)
    settings = _fine_tuning._tuning.settings(job)
    ground = _training.Ground(job, settings, None)
    net, _ = ground.trained(np.arange(32), np.empty(0, int), settings.plan, None, "")
    before, after = ground.backbone.state_dict(), net.backbone.state_dict()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    frozen = {id(each) for block in net.backbone.blocks()[:2] for each in block}
    names = {name for name, each in net.backbone.named_parameters() if id(each) in frozen}
    assert names
    assert not names & changed
    assert not any(name.startswith(("net.conv_stem", "net.bn1", "net.blocks.0")) for name in changed)


def test_volumes_by_slices(make, stored_arrays):
    draw = np.random.default_rng(0)
    pixels = draw.integers(60, 120, (32, 1, 6, 20, 20), dtype=np.uint8)
    pixels[HALF[:32] == 1, :, 2:4, 5:15, 5:15] = 220
    for join in ("attention", "gru"):
        head = {"join": join, "slices": 3, "planes": "zy"}
        training = {"epochs": 3, "batch": 8, "head_rate": 10.0}
        job = make(TargetKind.BINARY, HALF[:32], arrays=stored_arrays(pixels), parameters={"head": head, "training": training})
        fitted = transfer.fit(job)
        assert roc_auc_score(HALF[:32], fitted.model.raw(job.arrays)[:, 0]) > 0.9
        assert fitted.recipe.parameters["head"]["join"] == join


def test_nothing_passes_a_still_network_twice(make, monkeypatch):
    passed = []
    forward = _training._begun.Backbone.forward

    def counted(self, pixels):
        passed.append(len(pixels))
        return forward(self, pixels)

    job = make(TargetKind.BINARY, HALF, parameters={"how": "last", "training": {"epochs": 5}})
    settings = _fine_tuning._tuning.settings(job)
    ground = _training.Ground(job, settings, None)
    monkeypatch.setattr(_training._begun.Backbone, "forward", counted)
    work = _fine_tuning.Work(ground, HALF, None)
    work.cross_validated()
    work.train(np.arange(64), np.empty(0, int), "all")
    assert sum(passed) == 64


@pytest.fixture
def earlier(make, tmp_path):
    """A model learnt earlier, saved."""
    model = transfer.fit(make(TargetKind.BINARY, HALF)).model
    return families.save(model, tmp_path / "earlier")


def test_a_model_learnt_earlier_is_the_start(make, earlier, heard, stored_arrays):
    parameters = {"from": str(earlier), "training": {"epochs": 1, "batch": 16}}
    job = make(TargetKind.BINARY, HALF, parameters=parameters)
    found = begun(str(earlier))
    settings = _fine_tuning._tuning.settings(job, found.spec)
    assert (settings.backbone.side, settings.backbone.stages) == (32, (1, 2))
    ground = _training.Ground(job, settings, found)
    np.testing.assert_allclose(
        ground.scores(ground.net, np.arange(8)),
        running.run(families.load(earlier).onnx, ground.pixels.take(np.arange(8)))[0],
        atol=1e-4,
    )
    colour = stored_arrays(np.repeat(job.arrays.take(np.arange(64)), 3, axis=1), colour=True)
    other = make(TargetKind.MULTICLASS, np.arange(64) % 3, classes=3, arrays=colour, parameters=parameters)
    fitted = transfer.fit(dataclasses.replace(other, tell=heard))
    assert fitted.recipe.parameters["from"] == str(earlier)
    said = " ".join(heard.said)
    assert "made anew" in said
    assert "1 channels, these have 3" in said


def test_what_cannot_be_a_start(make, make_job, tmp_path):
    from medloop.families import classical

    heads = [{"features": [0], "estimator": "logistic"}]
    model = classical.fit(make_job(TargetKind.BINARY, HALF, heads=heads)).model
    families.save(model, tmp_path / "classical")
    (tmp_path / "broken.safetensors").write_bytes(b"12345678")
    for source, code in (("classical", "no-network"), ("nowhere", "no-model"), ("broken.safetensors", "unreadable-weights")):
        with pytest.raises(InputError) as error:
            transfer.fit(make(TargetKind.BINARY, HALF, parameters={"from": str(tmp_path / source)}))
        assert error.value.code == code


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"backbon": "x"}, "backbone"),
        ({"backbone": "tf_efficientnet_lit0"}, "tf_efficientnet_lite0"),
        ({"training": {"epoch": 3}}, "epochs"),
        ({"training": {"rate": -1.0}}, "rate"),
        ({"head": {"join": "sum"}}, "attention"),
        ({"imbalance": "yes"}, "weights"),
        ({"stages": [1, 9]}, "0 to 4"),
        ({"augmentation": {"turns": 3}}, "turn"),
        ({"folds": 1}, "2 or more"),
    ],
)
def test_recipes_that_cannot_be_followed(make, parameters, names):
    with pytest.raises(InputError) as error:
        transfer.fit(make(TargetKind.BINARY, HALF, parameters=parameters))
    assert names in error.value.allowed + error.value.fix


def test_everything_at_once(make):
    """Mixtures, balanced order, blocks thawed one by one, skipped blocks, an inner part held out to know when to stop."""
    parameters = {
        "imbalance": "sampling",
        "augmentation": {"mixup": 0.4, "turn": 5.0},
        "skip": 0.2,
        "training": {"epochs": 3, "batch": 16, "unfreeze_every": 1, "patience": 1, "average": "swa"},
    }
    job = make(TargetKind.MULTICLASS, np.arange(60) % 3, where=np.arange(60) % 3 / 2, classes=3, parameters=parameters)
    fitted = transfer.fit(job)
    assert np.isfinite(fitted.out_of_fold.probabilities).all()
    assert fitted.recipe.parameters["training"]["kept"] == "best"
    rows = [row for row in fitted.trials[0]["history"] if row["fold"] == "all"]
    assert all(row["validation_loss"] is not None for row in rows)


def test_pictures_are_judged_in_the_views_that_were_learnt_from(make):
    def usual(**said):
        return _tuning.settings(make(TargetKind.BINARY, HALF, parameters=said)).classifier.views

    assert usual() == 2
    assert usual(augmentation={"flips": ["y", "x"]}) == 4
    assert usual(augmentation={}) == usual(how="last") == 1
    assert usual(head={"views": 1}) == 1
