from __future__ import annotations

import numpy as np
import pytest

from medloop.features import _vocabulary
from medloop.features._vocabulary import encode, learn, normalised, project


@pytest.fixture(scope="module")
def descriptors():
    draw = np.random.default_rng(0)
    return (draw.normal(size=(400, 24)) + draw.integers(0, 4, (400, 1)) * 3).astype(np.float32)


OWNERS = np.sort(np.random.default_rng(1).integers(0, 6, 400))
OWNERS[OWNERS == 4] = 5


def test_counts_of_words(descriptors):
    state = learn(descriptors, "bovw", 10, 8, 0)
    counts = encode(descriptors, OWNERS, 6, "bovw", state)
    points = project(descriptors, state)
    for owner in range(6):
        wanted = np.zeros(10)
        for point in points[owner == OWNERS]:
            wanted[((point - state["centres"]) ** 2).sum(1).argmin()] += 1
        np.testing.assert_array_equal(counts[owner], wanted)


def test_vlad_against_a_plain_loop(descriptors):
    state = learn(descriptors, "vlad", 5, 8, 0)
    rows = encode(descriptors, OWNERS, 6, "vlad", state)
    points = project(descriptors, state)
    for owner in range(6):
        wanted = np.zeros((5, 8))
        for point in points[owner == OWNERS]:
            word = ((point - state["centres"]) ** 2).sum(1).argmin()
            wanted[word] += point - state["centres"][word]
        np.testing.assert_allclose(rows[owner].reshape(5, 8), wanted, atol=1e-2)
    assert not rows[4].any()


def _fisher_loop(points, state):
    weights, centres, variances = (state[key].astype(np.float64) for key in ("weights", "centres", "variances"))
    first, second = np.zeros(centres.shape), np.zeros(centres.shape)
    for point in points.astype(np.float64):
        like = weights * np.exp(-0.5 * ((point - centres) ** 2 / variances).sum(1)) / np.sqrt(variances.prod(1))
        share = (like / like.sum())[:, None]
        away = (point - centres) / np.sqrt(variances)
        first += share * away / np.sqrt(weights)[:, None]
        second += share * (away**2 - 1) / np.sqrt(2 * weights)[:, None]
    return np.concatenate([first.ravel(), second.ravel()]) / max(len(points), 1)


def test_fisher_vectors_against_a_plain_loop(descriptors):
    state = learn(descriptors, "fisher", 4, 8, 0)
    rows = encode(descriptors, OWNERS, 6, "fisher", state)
    points = project(descriptors, state)
    for owner in range(6):
        np.testing.assert_allclose(rows[owner], _fisher_loop(points[owner == OWNERS], state), rtol=1e-3, atol=2e-3)


def test_fisher_vectors_of_what_was_learnt_from_are_near_zero(descriptors):
    """At the maximum of the likelihood its gradient vanishes."""
    state = learn(descriptors, "fisher", 4, 4, 0)
    whole = encode(descriptors, np.zeros(400, int), 1, "fisher", state)
    part = encode(descriptors[:20], np.zeros(20, int), 1, "fisher", state)
    assert np.abs(whole).max() < 0.1 * np.abs(part).max()


def test_the_rotation_keeps_the_strongest_axes(descriptors):
    state = learn(descriptors, "vlad", 4, 3, 0)
    assert state["rotation"].shape == (24, 3)
    np.testing.assert_allclose(state["rotation"].T @ state["rotation"], np.eye(3), atol=1e-5)
    values = np.linalg.eigvalsh(np.cov(descriptors.T))[::-1]
    np.testing.assert_allclose(project(descriptors, state).var(0), values[:3], rtol=0.02)


def test_unit_length_and_signed_root():
    rows = normalised(np.array([[4.0, -9.0], [0.0, 0.0]], np.float32), True)
    np.testing.assert_allclose(rows, [[2 / 13**0.5, -3 / 13**0.5], [0, 0]], rtol=1e-6)


def test_the_loop_check_sees_a_wrong_fisher_vector(descriptors, monkeypatch):
    state = learn(descriptors, "fisher", 4, 8, 0)
    real = _vocabulary._responsibilities
    monkeypatch.setattr(_vocabulary, "_responsibilities", lambda *given: np.roll(real(*given), 1, axis=1))
    rows = encode(descriptors, OWNERS, 6, "fisher", state)
    wanted = _fisher_loop(project(descriptors, state)[OWNERS == 0], state)
    assert not np.allclose(rows[0], wanted, rtol=1e-3, atol=2e-3)
