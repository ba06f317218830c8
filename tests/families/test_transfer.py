from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

from medloop import families
from medloop.errors import InputError
from medloop.families import _heads, transfer
from medloop.networks import backbones
from medloop.types import TargetKind

HALF = np.arange(80) % 2
EYES = {"name": "network", "params": {"side": 32, "stages": [1, 2, 3]}}


@pytest.fixture
def job_of(make_job):
    """As `make_job`, for this family: small eyes that the recipe names, unless others are given."""

    def make(kind=TargetKind.BINARY, values=HALF, **more):
        job = make_job(kind, values, **({"features": [EYES]} | more))
        return dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, family="transfer"))

    return make


def test_frozen_features_learn_what_is_there(job_of):
    job = job_of(train=np.arange(50))
    fitted = transfer.fit(job)
    held = np.arange(50, 80)
    answer = fitted.model.predict(job.arrays, held)
    assert roc_auc_score(HALF[held], answer.probabilities[:, 1]) > 0.95
    assert fitted.recipe.parameters["how"] == "frozen"
    assert [each["params"]["side"] for each in fitted.recipe.parameters["features"]] == [32], "the eyes that were named"
    assert {tuple(trial["features"]) for trial in fitted.trials} == {(0,)}


def test_eyes_are_found_where_none_are_named(job_of):
    fitted = transfer.fit(job_of(features=[], trials=2))
    (eyes,) = fitted.recipe.parameters["features"]
    assert eyes["name"] == "network"
    assert eyes["params"]["level"], "grey pictures"
    blocks = [trial["blocks"] for trial in fitted.trials]
    assert blocks[0] == ["stage 1", "stage 2", "stage 3"]
    assert blocks[1] == ["stage 1", "stage 1 2x2", "stage 2", "stage 2 2x2", "stage 3", "stage 3 2x2"]


def test_nothing_but_training_cases_counts(job_of, stored_arrays):
    """Other pictures and other labels outside the training cases: the same model."""
    train = np.arange(50)
    first = job_of(train=train)
    pixels = first.arrays.take(np.arange(80))
    pixels[50:] = 255 - pixels[50:]
    flipped = np.where(np.arange(80) >= 50, 1 - HALF, HALF)
    data = dataclasses.replace(first.dataset, values=flipped)
    other = dataclasses.replace(first, arrays=stored_arrays(pixels), dataset=data, cache=None)
    one, two = transfer.fit(first).model, transfer.fit(other).model
    np.testing.assert_array_equal(one.predict(first.arrays, train).probabilities, two.predict(first.arrays, train).probabilities)


def test_a_look_at_other_cases_is_caught_by_the_test_above(job_of, monkeypatch):
    job, honest = job_of(train=np.arange(50)), _heads.standardised
    flipped = np.where(np.arange(80) >= 50, 1 - HALF, HALF)
    answers = []
    for values in (HALF, flipped):
        monkeypatch.setattr(_heads, "standardised", lambda target, _, others=values[30:]: honest(target, others))
        each = dataclasses.replace(job, dataset=dataclasses.replace(job.dataset, values=values))
        answers.append(transfer.fit(each).model.predict(job.arrays, np.arange(50)).probabilities)
    assert np.abs(answers[0] - answers[1]).max() > 0.01


def test_the_executed_recipe_gives_the_same_model(job_of):
    job = job_of(trials=4)
    first = transfer.fit(job)
    again = transfer.fit(dataclasses.replace(job, recipe=first.recipe, cache=None, deadline=job.clock()))
    assert again.recipe == first.recipe
    np.testing.assert_array_equal(again.out_of_fold.probabilities, first.out_of_fold.probabilities)
    np.testing.assert_array_equal(again.model.predict(job.arrays).probabilities, first.model.predict(job.arrays).probabilities)


def test_saved_and_loaded_answers_alike(job_of, tmp_path):
    job = job_of(TargetKind.MULTICLASS, np.arange(60) % 3, where=np.arange(60) % 3 / 2, classes=3)
    model = transfer.fit(job).model
    families.save(model, tmp_path / "model")
    loaded = families.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(job.arrays).probabilities, model.predict(job.arrays).probabilities)


def test_begun_with_the_network_of_a_model(job_of, tmp_path):
    named = {"name": "network", "params": {"side": 32, "backbone": "tf_efficientnet_lite0", "weights": str(_weights(tmp_path))}}
    families.save(transfer.fit(job_of(features=[named], trials=1)).model, tmp_path / "model")
    fitted = transfer.fit(job_of(features=[], trials=1, **{"from": str(tmp_path / "model")}))
    (eyes,) = fitted.recipe.parameters["features"]
    assert eyes["params"]["weights"] == named["params"]["weights"]


def test_begun_with_a_file_of_weights(job_of, tmp_path):
    path = str(_weights(tmp_path))
    fitted = transfer.fit(job_of(features=[], trials=1, **{"from": path}))
    plain = transfer.fit(job_of(features=[], trials=1))
    assert fitted.recipe.parameters["features"][0]["params"]["weights"] == path
    assert np.abs(fitted.out_of_fold.raw - plain.out_of_fold.raw).max() > 0


def _weights(folder):
    path = folder / "weights.safetensors"
    save_file(backbones.build(backbones.BackboneSpec(weights="none")).state_dict(), path)
    return path


def test_a_model_without_a_network_is_no_start(job_of, make_job, tmp_path):
    hog = [{"name": "hog", "params": {"grids": [3]}}]
    families.save(transfer.fit(job_of(features=hog, trials=1)).model, tmp_path / "model")
    with pytest.raises(InputError, match="no network"):
        transfer.fit(job_of(features=[], **{"from": str(tmp_path / "model")}))


def test_what_it_takes_at_least_is_foreseen(job_of):
    job = job_of(features=[])
    assert 0 < transfer.least_seconds(job) < 60
    assert transfer.least_seconds(dataclasses.replace(job, recipe=transfer.fit(job_of(trials=1)).recipe)) == 0


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"how": "frosen"}, "Did you mean frozen"),
        ({"how": 3}, "how = 3"),
        ({"bakbone": "resnet18"}, "Did you mean backbone"),
        ({"backbone": 3}, "backbone = 3"),
        ({"trials": 0}, "trials = 0"),
    ],
    ids=str,
)
def test_wrong_parameters_are_told(parameters, told):
    with pytest.raises(InputError, match=told):
        transfer.check(parameters)


def test_blocks_that_are_not_there_are_told(job_of):
    heads = [{"features": [0], "estimator": "logistic", "blocks": ["stage 7"]}]
    with pytest.raises(InputError, match="stage 1"):
        transfer.fit(job_of(heads=heads))


def test_models_of_other_families_are_not_taken_apart():
    with pytest.raises(TypeError, match="object"):
        transfer.to_parts(object())
