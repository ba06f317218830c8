"""Findings that touch, told apart: a watershed of the depth below the border cuts parts where they have a neck.

Two balls that touch share a neck that is narrower than both. A part is cut where its neck is narrower than so many times the
thinner of what it joins (depths in mm, so that thick slices do not mislead): h-maxima of the logarithm of the depth (Soille,
Morphological Image Analysis 2003), from which the watershed is flooded. The cut is a line of voxels of nothing, so that what is
apart is apart for whoever looks at the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from medloop.targets._components import parts
from medloop.types import Integers, SpacingMm

NECKS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
"""From clear necks to hints of them."""
_AROUND = np.ones((3, 3, 3), np.bool_)
_OUTSIDE = -50.0


def cuts(there: NDArray[np.bool_], neck: float, spacing: SpacingMm | None = None) -> NDArray[np.bool_]:
    """The voxels ``(Z, Y, X)`` of ``there`` between parts that touch. ``neck``: from 0 (nothing is cut) to 1; ``spacing`` in mm."""
    return np.asarray(cuts_at(there, (neck,), spacing)[0])


def cuts_at(there: NDArray[np.bool_], necks: Sequence[float], spacing: SpacingMm | None = None) -> NDArray[np.bool_]:
    """`cuts` at each of several necks, ``(S, Z, Y, X)``. What is whole at a hint of a neck is whole at clearer ones too."""
    found = np.zeros((len(necks), *there.shape), np.bool_)
    hints_first = [each for each in np.argsort(necks)[::-1].tolist() if necks[each] > 0]
    if not hints_first:
        return found
    labels, _ = parts(there)
    margin = [0 if side == 1 else 1 for side in there.shape]
    inner = tuple(slice(each, -each or None) for each in margin)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        own = np.pad(labels[box] == number, [(each, each) for each in margin])
        depth = ndimage.distance_transform_edt(own, sampling=spacing)
        level = np.log(depth, out=np.full(own.shape, _OUTSIDE), where=own)
        for place in hints_first:
            middles, count = ndimage.label(h_maxima(level, -np.log(necks[place]), footprint=_AROUND), _AROUND)
            if count < 2:
                break
            basins = watershed(-level, middles, connectivity=_AROUND, mask=own)  # its own lines take hours on some masks
            found[place][box] |= (own & (ndimage.maximum_filter(basins, footprint=_AROUND) > basins))[inner]
    return found


def joined(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> bool:
    """Whether any part found lies on several true ones."""
    return bool(((_shared(truth, found)[0][1:, 1:] > 0).sum(axis=0) > 1).any())


def likeness(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """How well parts answer parts, from 0 to 1; NaN where there are none.

    The mean over the parts of both, each with its best partner, of intersection over union: two that are one lose, and so does one
    that is two.
    """
    shared, true, mine = _shared(truth, found)
    if not shared[1:, 1:].size:
        return 0.0 if len(true) + len(mine) > 2 else float("nan")
    over = shared[1:, 1:] / (true[1:, None] + mine[None, 1:] - shared[1:, 1:])
    return float(np.concatenate([over.max(axis=axis) for axis in (0, 1)]).mean())


def _shared(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> tuple[Integers, Integers, Integers]:
    """Voxels that true parts and parts found share, ``(T + 1, F + 1)``, and the voxels of each; 0 is none."""
    (theirs, true), (mine, own) = parts(truth), parts(found)
    shared = np.bincount(theirs.ravel() * len(own) + mine.ravel(), minlength=len(true) * len(own))
    return shared.reshape(len(true), len(own)), true, own
