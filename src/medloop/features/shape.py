"""The shape of one object given as a mask: volumes and pictures of two values.

Volume, surface (marching cubes), thickness (distance transform), principal axes, hull, topology, projections, radial
and angular distribution, profiles along the axes. Lengths are in millimetres where the spacing is known, else in voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import finite, stacked
from medloop.features._solid import describe
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1


@dataclass(frozen=True)
class Params:
    """``profile``: points of each profile along an axis, of the radial and of the thickness distribution. ``views``: numbers
    of the projections along the axes."""

    profile: int = 8
    views: bool = True


CHOICES: tuple[Params, ...] = (Params(), Params(profile=0, views=False), Params(profile=4))


def suits(arrays: PreparedArrays) -> bool:
    """Volumes or pictures of two values."""
    return arrays.binary


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """Nothing is learnt; the spacing is kept beside."""
    del indices, params, seed, compute
    return {"spacing_mm": np.array(arrays.spacing_mm or (1.0, 1.0, 1.0))}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``: the same columns for each channel."""
    spacing = tuple(float(side) for side in state["spacing_mm"])
    columns = []
    for channel in range(batch.shape[1]):
        values = finite(batch[:, channel])
        flat = values.reshape(len(values), -1)
        middle = (flat.min(1) + flat.max(1)) / 2
        lit = flat.max(1) > 0
        solids = (values > middle[:, None, None, None]) | ((flat.min(1) == flat.max(1)) & lit)[:, None, None, None]
        columns.append(stacked(describe(solid, spacing, params.profile, params.views) for solid in solids))
    return np.concatenate(columns, axis=1)
