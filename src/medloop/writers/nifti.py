"""Masks and maps of volumes as NIfTI-1 (Cox et al. 2004), on the grid of their images."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import nibabel
import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, SpacingMm

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER, _UNPLACED = 1, 0
_LABELS, _MAP = 1002, 1001
"""Intents: NIFTI_INTENT_LABEL, values are names of regions; NIFTI_INTENT_ESTIMATE, they are an estimate."""


def mask_bytes(
    mask: NDArray[np.uint8],
    affine_lps: Array | None = None,
    spacing_mm: SpacingMm | None = None,
    values: Sequence[int] | None = None,
) -> bytes:
    """A ``.nii.gz`` of ``mask`` ``(Z, Y, X)``. Equal masks give equal bytes.

    ``affine_lps``: 4 by 4, takes the voxel index ``(x, y, z, 1)`` to LPS millimetres; it is written in RAS as NIfTI wants it. Where
    it is None the file says that its place is not known, and only ``spacing_mm`` ``(z, y, x)``, if that is known.
    ``values``: what none of the classes and each class are written as; without them 0 to K.
    """
    if mask.ndim != 3:
        raise ValueError("a mask of a volume has three axes")
    told = mask if values is None else np.asarray(values, np.min_scalar_type(max(values)))[mask]
    return _bytes(told, affine_lps, spacing_mm, _LABELS)


def map_bytes(steps: NDArray[np.uint8], step: float, affine_lps: Array | None = None, spacing_mm: SpacingMm | None = None) -> bytes:
    """The same of a map ``(Z, Y, X)`` of measurements in steps of ``step``: readers of NIfTI see ``step * steps``."""
    if steps.ndim != 3:
        raise ValueError("a map of a volume has three axes")
    return _bytes(steps, affine_lps, spacing_mm, _MAP, step)


def _bytes(told: Array, affine_lps: Array | None, spacing_mm: SpacingMm | None, intent: int, step: float | None = None) -> bytes:
    affine = None if affine_lps is None else _LPS_TO_RAS @ np.asarray(affine_lps, np.float64)
    image = nibabel.Nifti1Image(np.ascontiguousarray(told.transpose(2, 1, 0)), affine)
    header = image.header
    header.set_xyzt_units("mm")
    header.set_intent(intent)
    if step is not None:
        header.set_slope_inter(step, 0)
    if affine is None and spacing_mm is not None:
        header.set_zooms(spacing_mm[::-1])
    code = _UNPLACED if affine is None else _SCANNER
    image.set_sform(affine, code)
    image.set_qform(affine, code, strip_shears=True)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)
