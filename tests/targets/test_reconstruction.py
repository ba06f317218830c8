"""Reconstruction: what is hidden, how odd an error is, how well it tells what is abnormal."""

import json

import numpy as np
import pytest

from medloop.targets import reconstruction
from medloop.types import UNKNOWN


def test_hidden_blocks_are_drawn_from_the_seed():
    hidden = reconstruction.blocks(20, (8, 6), 0.6, seed=3)
    assert hidden.shape == (20, 8, 6)
    np.testing.assert_array_equal(hidden.sum(axis=(1, 2)), round(0.6 * 48))
    np.testing.assert_array_equal(hidden, reconstruction.blocks(20, (8, 6), 0.6, seed=3))
    assert (hidden != reconstruction.blocks(20, (8, 6), 0.6, seed=4)).any()
    assert (hidden[0] != hidden[1]).any()
    assert hidden.mean(axis=0).min() > 0.3
    assert reconstruction.blocks(2, (2, 2), 1.0, seed=0).sum() == 6, "something is always left to see"


def test_four_passes_hide_everything_once():
    for grid in ((8, 6), (5, 7), (2, 2)):
        np.testing.assert_array_equal(reconstruction.quarters(grid).sum(axis=0), 1)


def test_noise_is_told_in_deviations_of_each_image():
    pixels = np.random.default_rng(0).normal(0, 1, (2, 1, 1, 60, 60)).astype(np.float32) * np.array([1, 50]).reshape(2, 1, 1, 1, 1)
    added = reconstruction.noisy(pixels, 0.5, seed=1) - pixels
    np.testing.assert_allclose(added.std(axis=(1, 2, 3, 4)), [0.5, 25], rtol=0.05)
    np.testing.assert_array_equal(reconstruction.noisy(pixels, 0.5, seed=1), pixels + added)


def errors(count=30, seed=0):
    return [np.abs(np.random.default_rng(seed + k).normal(size=(1, 64, 64))) for k in range(count)]


def test_anomaly_is_how_rare_an_error_is():
    typical = reconstruction.learn_typical(iter(errors()))
    fresh = reconstruction.decode(errors(1, seed=900)[0], typical)
    assert fresh.dtype == np.float32
    assert (fresh >= 1).mean() == pytest.approx(0.1, abs=0.02)
    assert (fresh >= 2).mean() == pytest.approx(0.01, abs=0.005)
    assert reconstruction.decode(np.array([0.0, 1e9]), typical).tolist() == [0.0, reconstruction.MOST]
    assert reconstruction.Typical.from_json(json.loads(json.dumps(typical.to_json()))) == typical
    with pytest.raises(ValueError, match="no cases"):
        reconstruction.learn_typical([])


def spotted(strength):
    typical = reconstruction.learn_typical(errors())
    cases = []
    for each in errors(8, seed=50):
        mask = np.zeros(each.shape, np.uint8)
        mask[0, 10:20, 10:20] = 1
        mask[0, 40:] = UNKNOWN
        off = np.where(mask == 1, each + strength, each)
        off[mask == UNKNOWN] = 99
        cases.append(reconstruction.tally(off, reconstruction.decode(off, typical), mask))
    return reconstruction.metrics(cases, np.arange(8))


def check_figures():
    assert spotted(4.0)["anomaly_auc"].value > 0.97
    assert spotted(0.0)["anomaly_auc"].value == pytest.approx(0.5, abs=0.05)


def test_what_is_abnormal_stands_out():
    check_figures()
    alone = [reconstruction.tally(each, each * 0) for each in errors(6)]
    figures = reconstruction.metrics(alone, np.arange(6))
    assert figures["reconstruction_error"].value == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert figures["anomaly_auc"].value is None


def test_the_picture_is_warm_where_it_is_odd():
    rgb = np.full((6, 6, 3), 90, np.uint8)
    anomaly = np.zeros((6, 6), np.float32)
    anomaly[2, 2], anomaly[4, 4] = 4, 0.9
    drawn = reconstruction.picture(rgb, anomaly)
    assert drawn[2, 2, 0] > 150 > drawn[2, 2, 2]
    assert (drawn[4, 4] == 90).all()
    assert (rgb == 90).all()


def test_the_check_of_figures_sees_a_map_upside_down(monkeypatch):
    honest = reconstruction.decode
    monkeypatch.setattr(reconstruction, "decode", lambda off, typical: reconstruction.MOST - honest(off, typical))
    with pytest.raises(AssertionError):
        check_figures()
