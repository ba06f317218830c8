"""The nearest cases, and how often they have the same diagnosis."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from medloop.targets import similarity


def embedded(count=60, apart=3.0, seed=0):
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 3, count)
    return draw.normal(size=(count, 16)) + apart * np.eye(3, 16)[values], values


def test_the_nearest_are_those_of_scikit_learn():
    memory, _ = embedded()
    cases, _ = embedded(20, seed=1)
    found = similarity.decode(cases, memory, k=7)
    distance, rows = NearestNeighbors(n_neighbors=7, metric="cosine").fit(memory).kneighbors(cases)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.cosines, 1 - distance)


def test_nobody_is_near_to_their_own_group():
    memory, _ = embedded()
    groups = np.arange(60) // 3
    found = similarity.decode(memory, memory, 5, groups, groups)
    assert (groups[found.rows] != groups[:, None]).all()
    assert (similarity.decode(memory, memory, 1).rows[:, 0] == np.arange(60)).all()


def test_where_there_are_too_few_the_rest_is_empty():
    memory = np.eye(3)
    found = similarity.decode(np.array([[1.0, 0.1, 0.0]]), memory, 5, np.array([7]), np.array([7, 0, 0]))
    np.testing.assert_array_equal(found.rows, [[1, 2, -1, -1, -1]])
    assert np.isnan(found.cosines[0, 2:]).all()
    assert similarity.precision(found, np.array([1]), np.array([0, 1, 1]))[0, -1] == 1
    assert np.isnan(
        similarity.precision(similarity.decode(np.ones((1, 3)), np.ones((0, 3)), 2), np.array([0]), np.zeros(0, int))
    ).all()


def check_retrieval():
    near, values = embedded(apart=6.0)
    groups = np.arange(60)
    good = similarity.metrics(near, values, groups, groups)
    mixed, others = embedded(300, apart=0.0)
    chance = similarity.metrics(mixed, others, np.arange(300), np.arange(300))
    assert good["precision_at_1"].value > 0.97
    assert set(good) == {"precision_at_1", "precision_at_5", "precision_at_10"}
    assert chance["precision_at_1"].value == pytest.approx(1 / 3, abs=0.1)
    for metric in chance.values():
        assert metric.low < metric.value < metric.high


def test_precision_is_high_where_cases_of_a_kind_lie_together_and_chance_where_not():
    check_retrieval()


def test_one_group_alone_has_nobody_to_be_near_to():
    near, values = embedded(6)
    figure = similarity.metrics(near, values, np.zeros(6, int), np.arange(6))["precision_at_5"]
    assert figure.value is None
    assert "group" in figure.reason


def test_pictures_side_by_side():
    sheet = similarity.picture([np.zeros((5, 4, 3), np.uint8), np.full((3, 6, 3), 7, np.uint8)], gap=2)
    assert sheet.shape == (5, 12, 3)
    assert (sheet[:, 4:6] == 255).all()
    assert (sheet[:3, 6:] == 7).all()
    assert (sheet[3:, 6:] == 255).all()


def test_the_check_of_retrieval_sees_cases_that_find_themselves(monkeypatch):
    honest = similarity.decode
    monkeypatch.setattr(similarity, "decode", lambda embedding, memory, k, groups, others: honest(embedding, memory, k))
    with pytest.raises(AssertionError):
        check_retrieval()
