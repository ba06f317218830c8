"""One network of classes, masks, boxes and measures: what is there is learnt, what is unknown costs nothing, folds are honest."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from medloop import families
from medloop.errors import InputError
from medloop.evaluation import overlap
from medloop.families import _joint_fitting, _joint_training, multitask
from medloop.networks import running
from medloop.targets import reconstruction
from medloop.types import UNKNOWN, Recipe, Target, TargetKind, Truth

COUNT, SIDE = 32, 32
CLASSES = np.arange(COUNT) % 2
MASKS, BOXES = Target(TargetKind.MASKS, ("disc",), "masks"), Target(TargetKind.BOXES, ("disc",), "boxes")
MEASURES = Target(TargetKind.MEASURES, ("radius",), "measures", units=("px",))
SMALL = {"side": SIDE, "stages": [0, 1, 2], "width": 16, "folds": 2, "views": 1, "augmentation": {"flips": ["x"]}}
QUICK = {"epochs": 1, "batch": 8}


def discs(seed=0):
    """Pictures ``(N, 1, 1, SIDE, SIDE)`` with a disc each, bright in class 1; their masks, boxes and radii."""
    draw = np.random.default_rng(seed)
    centres, radii = draw.uniform(11, SIDE - 11, (COUNT, 2)), draw.uniform(4, 8, COUNT)
    grid = np.stack(np.mgrid[:SIDE, :SIDE]) + 0.5
    masks = (np.linalg.norm(grid[None] - centres[:, :, None, None], axis=1) < radii[:, None, None]).astype(np.uint8)
    pixels = draw.normal(90, 6, masks.shape) + masks * np.where(CLASSES, 70, 35)[:, None, None]
    zero, one = np.zeros(COUNT), np.ones(COUNT)
    boxes = np.stack([zero, *(centres - radii[:, None]).T, one, *(centres + radii[:, None]).T], axis=1)
    return np.clip(pixels, 0, 255).astype(np.uint8)[:, None, None], masks[:, None], boxes, radii


@dataclass(frozen=True)
class Held:
    """Masks in memory."""

    labels: Any
    known: Any = field(default_factory=lambda: np.ones(COUNT, bool))
    key: str = "discs"

    def take(self, indices):
        rows = np.asarray(indices)
        return np.where(self.known[rows, None, None, None], self.labels[rows], UNKNOWN).astype(np.uint8)


@pytest.fixture
def make(make_job, stored_arrays):
    """A function that makes a job of the targets named; ``known``: of which cases masks are known."""

    def job(*kinds, known=None, class_known=None, **parameters):
        pixels, labels, boxes, radii = discs()
        made = make_job(TargetKind.BINARY, CLASSES)
        every = np.ones(COUNT, bool)
        seen = every if known is None else known
        each = {
            "masks": (Truth(MASKS, seen), Held(labels, seen)),
            "boxes": (Truth(BOXES, every, boxes=tuple(boxes[:, None]), box_classes=(np.zeros(1, int),) * COUNT), None),
            "measures": (Truth(MEASURES, every, numbers=radii[:, None]), None),
        }
        truths = tuple(each[kind][0] for kind in kinds)
        values = CLASSES if class_known is None else np.where(class_known, CLASSES, -1)
        dataset = dataclasses.replace(made.dataset, values=values, class_known=class_known, further=truths)
        recipe = Recipe("test", "multitask", parameters={**SMALL, "training": QUICK, **parameters})
        further = {truth.target.name: each[kind][1] or truth for kind, truth in zip(kinds, truths, strict=True)}
        return dataclasses.replace(made, arrays=stored_arrays(pixels), dataset=dataset, recipe=recipe, further=further)

    return job


def dice(job, found, truth):
    return np.nanmean([overlap.dice(overlap.confusion(mask, each.mask, 1))[0] for mask, each in zip(truth, found, strict=True)])


def test_everything_at_once_is_learnt_saved_and_found_again(make, tmp_path):
    job = make("masks", "boxes", "measures", similarity=4, reconstruct=True, training={"epochs": 2, "batch": 8})
    fitted = multitask.fit(job)
    assert json.loads(json.dumps(fitted.trials)) == list(fitted.trials)
    [trial] = fitted.trials
    assert {row["fold"] for row in trial["history"]} == {0, 1, "all"}
    told = {name for row in trial["history"] for name in row if name.startswith("loss ")}
    assert told == {f"loss {name}" for name in ("classes", "masks", "boxes", "measures", "image", "embedding")}
    assert np.load(fitted.answers["masks"]).shape == (COUNT, 1, SIDE, SIDE)
    folder = families.save(fitted.model, tmp_path / "model")
    loaded = families.load(folder)
    assert loaded.further == (MASKS, BOXES, MEASURES, reconstruction.TARGET)
    rows = np.array([3, 30, 1])
    mine, again = (list(each.find(job.arrays, None, rows, cases=("x", "y", "z"))) for each in (fitted.model, loaded))
    assert [each.case for each in mine] == ["x", "y", "z"]
    for one, other in zip(mine, again, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert one.mask.shape == (1, SIDE, SIDE)
        assert one.boxes.shape == (len(one.box_scores), 6)
        assert {"radius", "disc area", reconstruction.ERROR, reconstruction.MEAN} <= set(one.measures)
        np.testing.assert_array_equal(one.anomaly, other.anomaly)
        assert one.anomaly.shape == (1, SIDE, SIDE)
        assert one.anomaly.std() > 0
    places = loaded.similar(job.arrays, rows)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1, atol=1e-5)
    repeated = multitask.fit(dataclasses.replace(job, recipe=fitted.recipe, cache=None, deadline=0.0))
    second = families.save(repeated.model, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_where_nothing_can_be_held_out_errors_of_what_was_learnt_from_are_usual(make):
    job = make("masks", targets=["masks"], reconstruct=True)
    job = dataclasses.replace(job, dataset=dataclasses.replace(job.dataset, groups=np.zeros(COUNT, int)))
    model = multitask.fit(job).model
    maps = reconstruction.STEP * np.stack([each.anomaly for each in model.find(job.arrays, None)])
    assert (maps >= 1).mean() == pytest.approx(0.1, abs=0.04)


def test_what_is_there_is_learnt_where_only_some_is_known(make):
    known = np.arange(COUNT) % 4 != 0
    job = make("masks", known=known, class_known=np.arange(COUNT) % 3 != 0, training={"epochs": 10, "batch": 8})
    fitted = multitask.fit(job)
    truth = discs()[1]
    assert np.isfinite(fitted.out_of_fold.probabilities).all()
    held = np.load(fitted.answers["masks"])
    assert np.mean([overlap.dice(overlap.confusion(truth[at], held[at], 1))[0] for at in range(COUNT)]) > 0.7
    answer = fitted.model.predict(job.arrays)
    assert np.mean([label == "ab"[value] for label, value in zip(answer.labels, CLASSES, strict=True)]) > 0.85
    assert dice(job, fitted.model.find(job.arrays, None), truth) > 0.75


def test_without_classes_nothing_is_said_of_them(make):
    job = make("masks", targets=["masks"])
    fitted = multitask.fit(job)
    assert fitted.out_of_fold.raw.shape == (COUNT, 0)
    assert fitted.trials[0]["score"] == fitted.trials[0]["further"]["masks"]["dice"]
    answer = fitted.model.predict(job.arrays, [1, 2])
    assert answer.probabilities.shape == (2, 0)
    assert answer.labels == ("", "")


def test_no_network_judges_a_case_that_it_has_seen(make, monkeypatch):
    job, log = make("masks"), []
    trained, scores = _joint_training.Ground.trained, _joint_training.Ground.scores

    def watched(self, seen, held, *rest):
        net, result = trained(self, seen, held, *rest)
        net.seen_rows = set(seen.tolist())
        return net, result

    def judged(self, net, rows):
        log.append(net.seen_rows & set(rows.tolist()))
        return scores(self, net, rows)

    monkeypatch.setattr(_joint_training.Ground, "trained", watched)
    monkeypatch.setattr(_joint_training.Ground, "scores", judged)
    multitask.fit(job)
    assert log == [set(), set()]
    monkeypatch.setattr(_joint_fitting, "folds", lambda *_: np.arange(COUNT) % 2)
    monkeypatch.setattr(_joint_training.Ground, "trained", lambda self, seen, *rest: watched(self, np.arange(COUNT), *rest))
    multitask.fit(dataclasses.replace(job, cache=None))
    assert all(log[2:]), "networks that saw all are noticed"


def test_a_run_that_was_killed_goes_on_where_it_was(make, monkeypatch):
    job = make("masks", staged=True, training={"epochs": 3, "batch": 8})
    whole = multitask.fit(dataclasses.replace(job, cache=None))
    train, done = _joint_training.stages.train_one, []

    def killed(lesson):
        done.append(lesson.label)
        if len(done) == 6:
            raise KeyboardInterrupt
        return train(lesson)

    with monkeypatch.context() as patch:
        patch.setattr(_joint_training.stages, "train_one", killed)
        with pytest.raises(KeyboardInterrupt):
            multitask.fit(job)
    kept = list((job.cache / "training").rglob("state.json"))
    assert kept
    resumed = multitask.fit(job)
    assert resumed.model.backbone == whole.model.backbone
    assert resumed.model.arrays.keys() == whole.model.arrays.keys()
    assert all(np.array_equal(resumed.model.arrays[name], each) for name, each in whole.model.arrays.items())
    assert [row["stage"] for row in resumed.trials[0]["history"][:3]] == ["global", "local", "decision"]


WRONG = {
    "mixtures": ({"augmentation": {"mixup": 0.2}}, "bad-recipe"),
    "a target that is not labelled": ({"targets": ["boxes"]}, "unknown-target"),
    "a weight of nothing": ({"weights": {"mask": 1.0}}, "unknown-target-with-a-weight"),
    "a patch of two numbers": ({"patch": [4, 4]}, "bad-recipe"),
    "rules of nothing": ({"rules": "[[rule]]\nname = 'x'\nmeasure = 'liver area'\nat_most = '3 px2'\n"}, None),
}


@pytest.mark.parametrize("what", WRONG)
def test_recipes_that_cannot_be_followed_are_refused(make, what):
    parameters, code = WRONG[what]
    with pytest.raises(InputError) as caught:
        multitask.fit(make("masks", **parameters))
    assert code is None or caught.value.code == code


def test_one_look_says_the_classes_and_what_is_found(make, monkeypatch):
    job = make("masks")
    model = multitask.fit(job).model
    apart, looks = model.predict(job.arrays, cases=[str(each) for each in range(COUNT)]), []
    run = running.run
    monkeypatch.setattr(
        running, "run", lambda content, pixels, names: (looks.append(len(pixels)), run(content, pixels, names=names))[1]
    )
    found = list(model.find(job.arrays, None))
    together = model.answered(np.stack([each.raw for each in found]), apart.cases)
    assert sum(looks) == COUNT
    assert together.labels == apart.labels
    np.testing.assert_allclose(together.probabilities, apart.probabilities, atol=1e-6)
