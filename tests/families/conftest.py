"""Small generated pictures in which something can be learnt, and jobs to learn it."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.compute import Compute
from medloop.families import FitJob
from medloop.progress import QUIET
from medloop.types import Case, Dataset, Recipe, Target, TargetKind

FEATURES = [{"name": "hog", "params": {"grids": [3]}}, {"name": "intensity", "params": {"regions": 3}}]


def pictures(values, seed=0, side=20, noise=0.5):
    """``(N, 1, 1, side, side)`` uint8: a bright square in noise, whose corner moves with the value."""
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(len(values), side, side)) * noise
    for picture, value in zip(pixels, values, strict=True):
        corner = round(2 + 8 * float(value)) + draw.integers(-1, 2)
        picture[corner : corner + 6, corner : corner + 6] += 1.0
    return np.clip(90 + 40 * pixels, 0, 255).astype(np.uint8)[:, None, None]


def dataset(target, values, groups=None):
    """A dataset whose cases are their own patients, unless groups are given."""
    values = np.asarray(values)
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    cases = tuple(Case(f"case-{number}", ()) for number in range(len(values)))
    return Dataset(cases, target, values, groups, groups, np.array(["train"] * len(values)), "fingerprint")


def target_of(kind, classes=2):
    names = () if kind is TargetKind.NUMBER else tuple("abcdefgh"[:classes])
    return Target(kind, names)


@pytest.fixture
def make_job(stored_arrays, tmp_path):
    """A function that makes a job: positions and values in, `FitJob` out. Recipe parameters by name."""

    def make(kind, values, *, where=None, classes=2, train=None, groups=None, seed=0, seconds=1000.0, clock=None, **parameters):
        values = np.asarray(values)
        arrays = stored_arrays(pictures(values if where is None else where, seed))
        data = dataset(target_of(kind, classes), values, groups)
        parameters = {"features": FEATURES, "trials": 3} | parameters
        rows = np.arange(len(values)) if train is None else np.asarray(train)
        more = {} if clock is None else {"clock": clock}
        job = FitJob(
            dataset=data,
            arrays=arrays,
            train=rows,
            recipe=Recipe("test", "classical", parameters=parameters, seed=seed),
            deadline=0.0,
            cache=tmp_path / "cache",
            compute=Compute(0),
            **more,
        )
        object.__setattr__(job, "deadline", job.clock() + seconds)
        return job

    return make


@pytest.fixture
def heard():
    """Whoever listens to what is said: ``.said``."""

    class Heard:
        def __init__(self):
            self.said = []

        def say(self, text):
            self.said.append(text)

        def task(self, label, total=None):
            return QUIET.task(label, total)

    return Heard()
