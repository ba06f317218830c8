from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medloop import families
from medloop.errors import InputError, Refused
from medloop.families import _cross, _heads, classical
from medloop.families._estimators import ESTIMATORS
from medloop.types import TargetKind

HALF = np.arange(160) % 2


@pytest.fixture(params=[name for name in ESTIMATORS if name != "ridge"])
def estimator(request):
    return request.param


def test_every_estimator_learns_what_is_there(make_job, estimator):
    job = make_job(TargetKind.BINARY, HALF, train=np.arange(110), estimators=[estimator], trials=1)
    fitted = classical.fit(job)
    held = np.arange(110, 160)
    answer = fitted.model.predict(job.arrays, held)
    assert roc_auc_score(HALF[held], answer.probabilities[:, 1]) > 0.9
    assert roc_auc_score(HALF[:110], fitted.out_of_fold.raw[:, 0]) > 0.9
    assert {head["estimator"] for head in fitted.recipe.parameters["heads"]} == {estimator}


def test_labels_without_meaning_are_not_learnt(make_job):
    """A leak in folds, calibration or thresholds would show here as skill."""
    scores = []
    for seed in range(4):
        draw = np.random.default_rng(seed)
        labels, groups = draw.permutation(HALF[:100]), np.arange(100) // 2
        job = make_job(TargetKind.BINARY, labels, where=draw.random(100), groups=groups, seed=seed, trials=4)
        scores.append(roc_auc_score(labels, classical.fit(job).out_of_fold.probabilities[:, 1]))
    assert 0.38 < np.mean(scores) < 0.62


def test_a_model_that_sees_the_held_out_cases_is_caught_by_the_test_above(make_job, monkeypatch):
    draw, honest = np.random.default_rng(0), _heads.learn
    labels = draw.permutation(HALF[:100])

    def leaks(spec, tables, rows, values, *rest):
        return honest(spec, tables, np.arange(100), labels, *rest)

    monkeypatch.setattr(_cross._heads, "learn", leaks)
    job = make_job(TargetKind.BINARY, labels, where=draw.random(100), trials=1, estimators=["extra-trees"])
    assert roc_auc_score(labels, classical.fit(job).out_of_fold.raw[:, 0]) > 0.9


def test_nothing_but_training_cases_counts(make_job, stored_arrays):
    """Other pictures and other labels outside the training cases: the same model."""
    train = np.arange(100)
    first = make_job(TargetKind.BINARY, HALF, train=train, estimators=["logistic"])
    pixels = first.arrays.take(np.arange(160))
    pixels[100:] = 255 - pixels[100:]
    other = dataclasses.replace(first, arrays=stored_arrays(pixels), cache=None)
    flipped = np.where(np.arange(160) >= 100, 1 - HALF, HALF)
    object.__setattr__(other, "dataset", dataclasses.replace(first.dataset, values=flipped))
    one, two = classical.fit(first).model, classical.fit(other).model
    np.testing.assert_array_equal(one.predict(first.arrays, train).probabilities, two.predict(first.arrays, train).probabilities)


def test_three_classes_one_of_them_rare(make_job):
    labels = np.array([0] * 70 + [1] * 60 + [2] * 14)
    job = make_job(TargetKind.MULTICLASS, labels, where=labels / 2, classes=3, trials=4)
    fitted = classical.fit(job)
    fresh = np.repeat([0, 1, 2], 20)
    new = make_job(TargetKind.MULTICLASS, fresh, where=fresh / 2, classes=3, seed=7).arrays
    answer = fitted.model.predict(new)
    assert balanced_accuracy_score(fresh, ["abc".index(label) for label in answer.labels]) > 0.8
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("estimator", ["logistic", "rbf-svm", "extra-trees"])
def test_several_labels_with_unknown_ones(make_job, estimator):
    draw = np.random.default_rng(3)
    where = HALF.astype(float)
    values = np.stack([where, 1 - where], axis=1)
    values[draw.random(values.shape) < 0.3] = np.nan
    job = make_job(TargetKind.MULTILABEL, values, where=where, estimators=[estimator], trials=1)
    fitted = classical.fit(job)
    new = make_job(TargetKind.BINARY, HALF[:60], seed=9).arrays
    answer = fitted.model.predict(new)
    assert roc_auc_score(HALF[:60], answer.probabilities[:, 0]) > 0.9
    assert roc_auc_score(1 - HALF[:60], answer.probabilities[:, 1]) > 0.9
    assert set(answer.labels) <= {"", "a", "b", "a|b"}


@pytest.mark.parametrize("estimator", ["ridge", "rbf-svm", "extra-trees", "boosting"])
def test_a_number_in_its_own_units(make_job, estimator):
    draw = np.random.default_rng(1)
    where = draw.random(200)
    job = make_job(TargetKind.NUMBER, 1000 + 50 * where, where=where, estimators=[estimator], trials=1)
    fitted = classical.fit(job)
    fresh = draw.random(60)
    new = make_job(TargetKind.NUMBER, fresh, seed=5).arrays
    predicted = fitted.model.predict(new).probabilities[:, 0]
    assert pearsonr(predicted, fresh).statistic > 0.8
    assert 990 < predicted.min() < predicted.max() < 1060
    assert abs(np.median(fitted.out_of_fold.probabilities[:, 0]) - 1025) < 10


def test_the_executed_recipe_gives_the_same_model(make_job):
    job = make_job(TargetKind.BINARY, HALF[:120], trials=6)
    first = classical.fit(job)
    assert len(first.trials) == 6
    again = classical.fit(dataclasses.replace(job, recipe=first.recipe, cache=None, deadline=job.clock()))
    assert again.recipe == first.recipe
    np.testing.assert_array_equal(again.out_of_fold.probabilities, first.out_of_fold.probabilities)
    one, two = first.model.predict(job.arrays), again.model.predict(job.arrays)
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    assert one.labels == two.labels
    assert first.model.decision == again.model.decision


def test_saved_and_loaded_answers_alike(make_job, tmp_path, estimator):
    labels = np.arange(120) % 3
    job = make_job(TargetKind.MULTICLASS, labels, where=labels / 2, classes=3, estimators=[estimator], trials=1)
    model = classical.fit(job).model
    families.save(model, tmp_path / "model")
    loaded = families.load(tmp_path / "model")
    before, after = model.predict(job.arrays), loaded.predict(job.arrays, cache=tmp_path / "other")
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    np.testing.assert_array_equal(before.abstain, after.abstain)
    assert before.labels == after.labels
    assert (loaded.target, loaded.decision, loaded.calibrator) == (model.target, model.decision, model.calibrator)
    families.save(loaded, tmp_path / "again")
    for path in (tmp_path / "model").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_vocabulary_and_components_are_saved_too(make_job, tmp_path):
    sift = {"name": "sift", "params": {"words": 4, "components": 8, "side": 0}}
    heads = [{"features": [0], "estimator": "logistic", "params": {"C": 1.0}, "components": 5}]
    job = make_job(TargetKind.BINARY, HALF[:60], features=[sift], heads=heads)
    model = classical.fit(job).model
    families.save(model, tmp_path / "model")
    loaded = families.load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict(job.arrays).probabilities, loaded.predict(job.arrays).probabilities)


def test_ten_classes_of_two_cases(make_job):
    labels = np.repeat(np.arange(8), 2)
    fitted = classical.fit(make_job(TargetKind.MULTICLASS, labels, where=labels / 7, classes=8, trials=2))
    assert fitted.out_of_fold.probabilities.shape == (16, 8)
    assert np.isfinite(fitted.out_of_fold.probabilities).all()


def test_four_cases(make_job):
    fitted = classical.fit(make_job(TargetKind.BINARY, [0, 1, 0, 1], trials=2))
    assert np.isfinite(fitted.out_of_fold.probabilities).all()


def test_a_class_of_one_patient_is_refused(make_job):
    with pytest.raises(Refused, match="'b' has 1"):
        classical.fit(make_job(TargetKind.BINARY, [0, 0, 0, 1, 1], groups=[0, 1, 2, 3, 3]))


def test_images_prepared_otherwise_are_refused(make_job, stored_arrays):
    model = classical.fit(make_job(TargetKind.BINARY, HALF[:40], estimators=["logistic"], trials=1)).model
    with pytest.raises(InputError, match="shape"):
        model.predict(stored_arrays(np.zeros((2, 1, 1, 30, 30), np.uint8)))


def test_no_images_no_answers(make_job):
    job = make_job(TargetKind.BINARY, HALF[:40], estimators=["logistic"], trials=1)
    answer = classical.fit(job).model.predict(job.arrays, [])
    assert answer.labels == ()
    assert answer.probabilities.shape == (0, 2)


def test_wrong_estimator_in_a_recipe(make_job):
    with pytest.raises(InputError, match="perceptron"):
        classical.fit(make_job(TargetKind.BINARY, HALF[:40], estimators=["perceptron"]))
    heads = [{"features": [0], "estimator": "logistik"}]
    with pytest.raises(InputError) as error:
        classical.fit(make_job(TargetKind.BINARY, HALF[:40], heads=heads))
    assert "logistic" in error.value.fix
