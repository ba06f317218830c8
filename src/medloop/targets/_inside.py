"""What an image shows inside a mask and across its border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medloop.targets._solid import boxed
from medloop.types import Array, Floats, SpacingMm

_BAND = 3


def intensities(values: Array) -> tuple[float, float, float, float]:
    """Of the voxels ``(n,)`` inside: mean, standard deviation, 10th and 90th percentile (IBSI Q4LE, root of ECT3, QG58, 8DWT)."""
    low, high = np.percentile(values, (10, 90))
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)), float(low), float(high)


def sharpness(solid: NDArray[np.bool_], image: Array, spacing: SpacingMm, *, flat: bool) -> float:
    """How steeply the image changes across the border of a mask ``(Z, Y, X)``, for one unit of length.

    The mean over the border's voxels of the image's derivative along the mask's normal (both by Gaussians of one voxel), without
    its sign, over the range (5th to 95th percentile) of the image within three voxels of the border. An edge blurred to a
    standard deviation of s has about ``1 / sqrt(2 pi (s^2 + voxel^2))``. NaN where the image does not change at all.
    """
    box = boxed(solid, margin=_BAND + 1)
    mask, seen = solid[box], image[box].astype(np.float64)
    steps: tuple[float, ...] = spacing
    if flat:
        mask, seen, steps = mask[0], seen[0], spacing[1:]
    structure = ndimage.generate_binary_structure(mask.ndim, 1)
    border = mask & ~ndimage.binary_erosion(mask, structure, border_value=1)
    band = ndimage.binary_dilation(border, structure, iterations=_BAND)
    if not border.any():
        return float("nan")
    low, high = np.percentile(seen[band], (5, 95))
    if not high > low:
        return float("nan")
    normal = _gradient(mask.astype(np.float64), steps)[:, border]
    slope = (_gradient(seen, steps)[:, border] * normal).sum(axis=0) / np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
    return float(np.abs(slope).mean() / (high - low))


def _gradient(values: Floats, steps: tuple[float, ...]) -> Floats:
    """``(D, ...)`` derivatives for one unit of length along each axis."""
    orders = np.eye(values.ndim, dtype=int)
    return np.stack([ndimage.gaussian_filter(values, 1.0, tuple(order)) / step for order, step in zip(orders, steps, strict=True)])
