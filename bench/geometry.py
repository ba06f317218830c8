"""Series of dcm_qa_nih against dcm2niix's conversions: shape and voxels equal up to axis flips, affine within 1e-3 mm."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from bench.core import Row, shared
from medloop import readers
from medloop.compute import Compute
from medloop.types import Image


def rows() -> list[Row]:
    """Series that agree, and the largest difference of an affine."""
    source = shared("dicom/dcm_qa_nih")
    with Compute() as compute:
        found = readers.collect(source / "In", compute=compute)
    differences = [difference(readers.read(ref), reference(source / "Ref", ref.name)) for ref in found.refs]
    right = sum(each <= 1e-3 for each in differences)
    there = len(list((source / "Ref").glob("*.nii")))
    return [
        Row(
            what="series with the shape, voxels and affine of dcm2niix's conversion", figure=right, unit="series",
            baseline="conversions there", baseline_figure=there, ratio=right / there,
        ),
        Row(
            what="largest difference of an affine", figure=max(differences), unit="mm", baseline="allowed", baseline_figure=1e-3,
            ratio=1e-3 / max(differences),
        ),
    ]  # fmt: skip


def reference(folder: Path, name: str) -> Path:
    """The conversion that belongs to a series, by vendor and series number."""
    start = "DCM2NIIX" if name.startswith("20180918GE") else "EPI"
    return next(folder.glob(f"{start}*_{name.rpartition('-')[2]}.nii"))


def difference(image: Image, path: Path) -> float:
    """Largest difference of the affine in mm once both are turned to RAS axes; infinite where shape or voxels differ."""
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine_lps
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(image.pixels[:, 0].transpose(3, 2, 1, 0), ras))
    theirs = nibabel.as_closest_canonical(nibabel.load(path))
    if not np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj)):
        return float("inf")
    return float(np.abs(ours.affine - theirs.affine).max())
