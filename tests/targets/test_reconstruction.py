"""Reconstruction: what is hidden, how odd an error is, how well it tells what is abnormal."""

import json

import numpy as np
import pytest

from medloop.targets import reconstruction
from medloop.types import UNKNOWN, Findings


def test_four_passes_hide_everything_once():
    for grid in ((8, 6), (5, 7), (2, 2)):
        np.testing.assert_array_equal(reconstruction.quarters(grid).sum(axis=0), 1)


def errors(count=30, seed=0):
    return [np.abs(np.random.default_rng(seed + k).normal(size=(1, 64, 64))) for k in range(count)]


def test_anomaly_is_how_rare_an_error_is():
    typical = reconstruction.learn_typical(map(reconstruction.levels, errors()))
    fresh = reconstruction.decode(errors(1, seed=900)[0], typical)
    assert fresh.dtype == np.float32
    assert (fresh >= 1).mean() == pytest.approx(0.1, abs=0.02)
    assert (fresh >= 2).mean() == pytest.approx(0.01, abs=0.005)
    assert reconstruction.decode(np.array([0.0, 1e9]), typical).tolist() == [0.0, reconstruction.MOST]
    assert reconstruction.Typical.from_json(json.loads(json.dumps(typical.to_json()))) == typical
    with pytest.raises(ValueError, match="no cases"):
        reconstruction.learn_typical([])


def judged(off, typical, mask=None):
    anomaly = reconstruction.quantised(reconstruction.decode(off, typical))
    found = Findings("case", anomaly=anomaly, measures=reconstruction.summary(off, anomaly))
    return reconstruction.tally(reconstruction.TARGET, found, Findings("case", mask=mask), None)


def spotted(strength):
    typical = reconstruction.learn_typical(map(reconstruction.levels, errors()))
    cases = []
    for each in errors(8, seed=50):
        mask = np.zeros(each.shape, np.uint8)
        mask[0, 10:20, 10:20] = 1
        mask[0, 40:] = UNKNOWN
        off = np.where(mask == 1, each + strength, each)
        off[mask == UNKNOWN] = 99
        cases.append(judged(off, typical, mask))
    return reconstruction.metrics(reconstruction.TARGET, cases, np.arange(8))


def check_figures():
    assert spotted(4.0)["anomaly_auc"].value > 0.97
    assert spotted(0.0)["anomaly_auc"].value == pytest.approx(0.5, abs=0.05)


def test_what_is_abnormal_stands_out():
    check_figures()
    typical = reconstruction.learn_typical(map(reconstruction.levels, errors()))
    figures = reconstruction.metrics(reconstruction.TARGET, [judged(each, typical) for each in errors(6)], np.arange(6))
    assert figures["reconstruction_error"].value == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert figures["anomaly_auc"].value is None


def test_the_picture_is_warm_where_it_is_odd():
    rgb = np.full((6, 6, 3), 90, np.uint8)
    anomaly = np.zeros((6, 6), np.float32)
    anomaly[2, 2], anomaly[4, 4] = 4, 0.9
    drawn = reconstruction.overlay(rgb, anomaly)
    assert drawn[2, 2, 0] > 150 > drawn[2, 2, 2]
    assert (drawn[4, 4] == 90).all()
    assert (rgb == 90).all()


def test_the_check_of_figures_sees_a_map_upside_down(monkeypatch):
    honest = reconstruction.decode
    monkeypatch.setattr(reconstruction, "decode", lambda off, typical: reconstruction.MOST - honest(off, typical))
    with pytest.raises(AssertionError):
        check_figures()


def made_up(noise=0.0, odd=None):
    """What is made up of plain pictures by one who knows what they look like, and never saw what is odd."""
    draw = np.random.default_rng(0)
    plain = draw.normal(90, 20, (4, 1, 8, 8)).repeat(8, -1).repeat(8, -2).round().astype(np.uint8)
    pixels = plain.copy()
    if odd is not None:
        pixels[odd] = 255 - pixels[odd]
    clean = reconstruction.grey(plain)[:, None]
    return pixels, lambda shown: (clean + noise * draw.normal(size=clean.shape)).astype(np.float32)[..., ::4, ::4]


def test_errors_are_small_where_what_is_hidden_was_known_and_large_elsewhere():
    pixels, believed = made_up()
    assert reconstruction.errors(believed, pixels).max() < 1e-4
    where = (slice(None), slice(None), slice(16, 32), slice(40, 56))
    pixels, believed = made_up(odd=where)
    off = reconstruction.errors(believed, pixels)
    assert off.shape == pixels.shape
    inside = np.zeros(pixels.shape, bool)
    inside[where] = True
    assert off[inside].mean() > 4 * off[~inside].mean()


def test_what_is_asked_about_is_hidden_and_everything_is_asked_about():
    pixels, seen = np.random.default_rng(1).integers(60, 200, (2, 3, 2, 48, 40), dtype=np.uint8), []

    def watch(shown):
        seen.append((shown != pixels).any(axis=(0, 1, 2)))
        return np.zeros((2, 1, 2, 12, 10), np.float32)

    assert reconstruction.errors(watch, pixels).shape == (2, 1, 2, 48, 40)
    np.testing.assert_array_equal(np.sum(seen, axis=0), 1)


def test_the_slice_that_is_shown_is_the_one_that_is_odd():
    steps = np.full((3, 8, 8), 49, np.uint8)
    assert reconstruction.slice_of(Findings("x", anomaly=steps)) == 0
    steps[2, 4, 4] = 100
    assert reconstruction.slice_of(Findings("x", anomaly=steps)) == 2
    assert reconstruction.slice_of(Findings("x")) == 0
