"""What is learnt of one patient alone: nothing can be held out, and it is not pretended that something was."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from medloop import families
from medloop.errors import Refused
from medloop.families import _joint_fitting, _joint_tuning, multitask
from medloop.families._begun import begun
from medloop.families._joint_training import Ground
from medloop.targets.masks import Cleaning
from medloop.types import Target, TargetKind, Truth

MASKS = Target(TargetKind.MASKS, ("square",), "masks")
PARAMETERS = {"stages": [0, 1], "width": 8, "views": 1, "augmentation": {}, "training": {"epochs": 1, "batch": 4}}


@dataclass(frozen=True)
class Squares:
    """The masks of the bright squares."""

    pixels: np.ndarray
    key: str = "squares"
    known: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(12, bool))

    def take(self, indices):
        return (self.pixels[indices][:, 0] > 118).astype(np.uint8)


@pytest.fixture
def job(make_job):
    """Twelve pictures of one patient."""
    made = make_job(TargetKind.NUMBER, np.linspace(0, 1, 12))
    alone = np.zeros(12, np.int64)
    dataset = dataclasses.replace(made.dataset, further=(Truth(MASKS, np.ones(12, bool)),), patients=alone, groups=alone)
    return dataclasses.replace(
        made,
        dataset=dataset,
        further={"masks": Squares(made.arrays.take(np.arange(12)))},
        recipe=dataclasses.replace(made.recipe, family="multitask", parameters=PARAMETERS | {"targets": ["masks"]}),
    )


def test_masks_are_learnt_from_one_patient_in_the_plain_way(job):
    fitted = multitask.fit(job)
    assert fitted.model.finder.masks == Cleaning.plain(1)
    assert {row["fold"] for row in fitted.trials[0]["history"]} == {"all"}
    assert fitted.answers == {}


def test_cleaning_learnt_on_what_was_learnt_from_is_noticed(job, monkeypatch):
    monkeypatch.setattr(_joint_fitting, "_uncleaned", lambda finder: dataclasses.replace(finder, masks=Cleaning((0.4,), (3,))))
    with pytest.raises(AssertionError):
        test_masks_are_learnt_from_one_patient_in_the_plain_way(job)


def test_classes_of_one_patient_are_refused(job):
    parameters = PARAMETERS | {"targets": ["classes", "masks"]}
    with pytest.raises(Refused, match="1 patients"):
        multitask.fit(dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, parameters=parameters)))


def test_a_training_begins_with_the_heads_of_the_model_too_where_both_answer_the_same(job, tmp_path, heard):
    model = multitask.fit(job).model
    folder = families.save(model, tmp_path / "earlier")
    parameters = PARAMETERS | {"targets": ["masks"], "from": str(folder)}
    again = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, parameters=parameters), tell=heard)
    found = begun(str(folder))

    def heads(learning):
        settings = _joint_tuning.settings(learning, found.spec)
        state = Ground(learning, settings, found).net.state_dict()
        return all(np.array_equal(state[name].numpy(), each) for name, each in model.arrays.items())

    assert not model.solid
    assert heads(again)
    assert not heard.said
    other = dataclasses.replace(again.dataset, further=(Truth(Target(TargetKind.MASKS, ("disc",), "masks"), np.ones(12, bool)),))
    assert not heads(dataclasses.replace(again, dataset=other))
    assert "made anew" in heard.said[0]
