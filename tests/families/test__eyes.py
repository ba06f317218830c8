from __future__ import annotations

import numpy as np
import pytest

from medloop.families import _eyes
from medloop.families._cross import Trial
from medloop.families._eyes import Eyes, first, sets_of
from medloop.families._tables import Tables
from medloop.features import Block
from medloop.features.network import Params
from medloop.types import TargetKind

HALF = np.arange(40) % 2
START = Params(weights="none")


@pytest.fixture
def climb(make_job):
    """A function: what is worth how much (parameters and columns to a score) in, the best eyes out, and all that were tried."""

    def run(worth, seconds=1000.0, took=0.0):
        job = make_job(TargetKind.BINARY, HALF, seconds=seconds, features=[])
        tables = Tables(job, ())
        eyes = Eyes(job, tables, START)
        tried = []
        asking = eyes.opening()
        spec = next(asking, None)
        while spec is not None:
            params = tables.features[spec.features[0]].params
            tables._took[spec.features[0]] = took
            tried.append(params)
            score = worth(params, spec)
            try:
                spec = asking.send(Trial(spec, "complete", 1.0, (score,), (score, score)))
            except StopIteration:
                spec = None
        return tables.features[eyes.settled[0].position].params, tried

    return run


def test_turning_is_found_where_it_helps(climb):
    best, tried = climb(lambda params, spec: 0.8 + 0.01 * params.views - 0.001 * len(spec.blocks))
    assert best.views == 8
    assert tried[0].views == 1


def test_regions_a_smaller_picture_and_grey_levels_are_found_where_they_help(climb):
    best, _ = climb(lambda params, spec: 0.9 - params.side / 1e4 + 0.001 * len(spec.blocks) - 0.01 * params.level)
    assert (best.side, best.level, best.views) == (64, False, 1)


def test_what_does_not_help_is_given_up(climb):
    best, tried = climb(lambda params, spec: 0.9 if (params.side, params.views, params.level) == (112, 1, True) else 0.8)
    assert best == tried[0]
    assert {params.side for params in tried} == {64, 112}, "no picture of 20 pixels is enlarged further"
    assert {params.views for params in tried} == {1, 2, 8}
    assert {params.level for params in tried} == {True, False}


def test_eyes_that_take_too_long_are_not_tried(climb, monkeypatch):
    def worth(params, spec):
        return 0.8 + 0.01 * params.views

    _, tried = climb(worth, seconds=100.0, took=20.0)
    assert {params.views for params in tried} == {1}
    monkeypatch.setattr(Eyes, "_affordable", lambda self, there, position: True)
    _, tried = climb(worth, seconds=100.0, took=20.0)
    assert {params.views for params in tried} > {1}


def test_with_no_time_the_first_eyes_are_small(climb):
    _, tried = climb(lambda params, spec: 0.9, seconds=-1.0)
    assert {params.side for params in tried} == {_eyes.LEAST}


def test_first_eyes_by_kind_of_image(stored_arrays):
    def eyes(shape, **facts):
        draw = np.random.default_rng(0)
        return first(stored_arrays(draw.integers(0, 256, (2, *shape), dtype=np.uint8), **facts), START)

    assert eyes((1, 1, 28, 28)).level
    assert not eyes((3, 1, 64, 64), colour=True).level
    assert (eyes((1, 28, 28, 28)).axes, eyes((1, 28, 28, 28)).side) == ("zyx", 64)
    assert eyes((1, 28, 28, 28)).slices == 8
    assert (eyes((1, 10, 96, 96)).axes, eyes((1, 10, 96, 96)).side) == ("z", 112)


def test_shapes_are_projected(stored_arrays):
    shapes = np.uint8(np.random.default_rng(0).random((2, 1, 20, 20, 20)) > 0.5) * np.uint8(255)
    assert first(stored_arrays(shapes), START).slices == 0


def test_columns_are_read_by_stage_and_region():
    blocks = [Block(f"stage {stage}{region}", 4) for stage in range(5) for region in ("", " 2x2")]
    sets = sets_of(blocks)
    assert list(sets) == ["middle", "all", "late", "middle and regions", "all and regions", "late and regions"]
    assert sets["middle"] == ("stage 1", "stage 2", "stage 3")
    assert sets["late and regions"] == ("stage 2", "stage 2 2x2", "stage 3", "stage 3 2x2", "stage 4", "stage 4 2x2")
    assert sets_of([Block("stage 4", 3)]) == {"all": ("stage 4",)}
    volume = [Block(f"stage {stage} across z {kind}", 4) for kind in ("mean", "deviation") for stage in range(3)]
    assert sets_of(volume)["middle"] == ("stage 1 across z mean", "stage 1 across z deviation")
