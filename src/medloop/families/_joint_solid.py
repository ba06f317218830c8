"""What is usual for a network that sees volumes as volumes (``network = "solid"``), where the recipe leaves it open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medloop.errors import InputError
from medloop.families._job import FitJob
from medloop.networks.solid_spec import SolidSpec
from medloop.types import Floats, Json, SpacingMm

SLICES, SOLID = "slices", "solid"
SAID = ("filters", "levels", "reduce", "blocks", "norm")
"""What a recipe may say of it."""
_PLAN: Mapping[str, Json] = {"batch": 1, "rate": 2e-3, "head_rate": 1.0, "layer_decay": 1.0, "frozen": 0}
"""It begins at random: every layer learns, and alike."""
_WHOLE, _CELLS = 2**18, 32
"""Cells of a volume that goes through whole; cells a side of the windows that larger ones are seen in."""
_OF_SLICES = ("backbone", "stages", "side", "level", "from", "width", "context", "fine")


def spec(said: Mapping[str, Json], job: FitJob) -> SolidSpec | None:
    """The network that the recipe asks for; None where it is to go slice by slice. Raises `InputError` for what cannot be."""
    if said.get("network", SLICES) != SOLID:
        return None
    wrong = [name for name in _OF_SLICES if name in said]
    if wrong:
        raise _refused(f"a network that sees whole volumes, and {', '.join(wrong)}", "These words with network = 'slices' only.")
    if job.arrays.shape[1] == 1:
        raise _refused("a network that sees whole volumes, and there are pictures", "Volumes, or network = 'slices'.")
    usual = SolidSpec(channels=job.arrays.shape[0])
    z, y, x = map(int, said.get("reduce", _even(voxels_mm(job))))
    filters, levels = int(said.get("filters", usual.filters)), int(said.get("levels", usual.levels))
    blocks = tuple(map(int, said.get("blocks", ())))
    if blocks and len(blocks) != levels:
        raise _refused(f"{levels} levels, and blocks of {len(blocks)}", "One number of blocks for each level.")
    return replace(usual, filters=filters, levels=levels, reduce=(z, y, x), blocks=blocks, norm=str(said.get("norm", usual.norm)))


def plan(net: SolidSpec) -> Mapping[str, Json]:
    """How it is trained. Batch norms that begin at random have no statistics to keep."""
    return _PLAN if net.norm == "group" else {**_PLAN, "norms": "learn"}


def patch(net: SolidSpec, shape: Sequence[int]) -> list[int]:
    """``[z, y, x]`` voxels of a volume ``(Z, Y, X)`` that go through at once, 0 for all."""
    cells = [-(-side // each) for side, each in zip(shape, net.reduce, strict=True)]
    return [0, 0, 0] if math.prod(cells) <= _WHOLE else [_CELLS * each for each in net.reduce]


def voxels_mm(job: FitJob) -> Floats:
    """``(n, 3)`` mm ``z, y, x`` of the prepared voxels of the training cases, NaN where unknown."""
    if job.geometry is None:
        return np.full((len(job.train), 3), np.nan)
    place = job.geometry.select(np.asarray(job.train, np.int64))
    old = place.spacing_mm[:, ::-1, None]  # of x, y, z, as the matrix counts them
    return np.asarray(np.linalg.norm(old * place.matrix[:, :3, :3], axis=1)[:, ::-1])


def spacings(job: FitJob) -> list[SpacingMm | None]:
    """The same of each case, None where unknown."""
    rows = voxels_mm(job)
    return [(float(z), float(y), float(x)) if np.isfinite((z, y, x)).all() else None for z, y, x in rows]


def _even(voxels: Floats) -> list[int]:
    """How many voxels along ``z, y, x`` make cells that are about as high as wide."""
    known = voxels[np.isfinite(voxels).all(axis=1)]
    if not len(known):
        return [1, 1, 1]
    sides = np.median(known, axis=0)
    return [max(1, round(float(sides.max() / side))) for side in sides]


def _refused(got: str, allowed: str) -> InputError:
    return InputError("bad-recipe", got=f"The recipe asks for {got}.", allowed=allowed, fix="Mend the recipe.")
