"""The geometry of a survey's arrays, from what was kept when they were prepared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medloop.cache.arrays import ArrayCache
from medloop.compute import Compute
from medloop.prepared import _places
from medloop.prepared._careful import carefully
from medloop.prepared._jobs import Job, cut, keys_of, run
from medloop.prepared.arrays import open_shard
from medloop.prepared.geometry import Geometry
from medloop.prepared.survey import Survey
from medloop.progress import QUIET, Progress
from medloop.types import Floats
from medloop.workspace.atomic import explained

__all__ = ["geometry_of"]


def geometry_of(survey: Survey, *, compute: Compute | None = None, tell: Progress = QUIET) -> Geometry:
    """Where the voxels of ``survey.arrays`` lie, row by row. Nothing is decoded but images of a cache that does not know it yet.

    An image that cannot be read any more has a matrix of NaN. Raises `ValueError` for a survey without arrays.
    """
    if survey.arrays is None or survey.folder is None:
        raise ValueError("only prepared images have a geometry")
    keys = keys_of((ref.reader for ref in survey.refs), survey.steps, pictures=False)
    digests = [bytes.fromhex(ref.digest) for ref in survey.refs]
    with explained(survey.folder), ArrayCache(survey.folder) as index:
        rows = _rows(index, str(keys.place), digests)
        missing = np.flatnonzero(np.isnan(rows[:, 12])).tolist()
        if missing:
            workers = Compute(0) if compute is None else compute
            runs = list(cut(survey.refs, missing, workers.workers))
            job = Job((), survey.folder, survey.steps, keys)
            for _ in carefully(run, runs, lambda each: job.on([survey.refs[at] for at in each]), workers, "Finding places", tell):
                pass
            rows = _rows(index, str(keys.place), digests)
    lost = np.isnan(rows[:, 12])
    rows[lost, 12:15] = np.array([ref.shape[2:] for ref in survey.refs], np.float64).reshape(-1, 3)[lost]
    return _places.geometry_from(rows)


def _rows(index: ArrayCache, key: str, digests: Sequence[bytes]) -> Floats:
    """``(N, 18)``: NaN where nothing is kept."""
    places = index.places(key, list(set(digests)))
    rows = np.full((len(digests), _places.SIZE), np.nan)
    table = np.array([places.get(digest, (-1, 0, 0)) for digest in digests], np.int64).reshape(-1, 3)
    for number, shard in index.described(set(table[:, 0].tolist()) - {-1}).items():
        where = np.flatnonzero(table[:, 0] == number)
        rows[where] = open_shard(shard.path)[table[where, 1]]
    return rows
