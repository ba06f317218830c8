"""Images with a mask each, made for tests: bright blobs on a dark ground, and the blobs as labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel
import numpy as np

from medloop import readers
from medloop.compute import Compute
from medloop.prepared import Geometry, Survey, geometry_of, survey
from medloop.readers import labelmap
from medloop.types import Step, Target, TargetKind, Truth

SIZES = [(300, 300), (131, 117), (96, 140), (57, 61), (120, 120)]
FLAT = (Step("resample", {"size": [1, 112, 112]}), Step("normalise", {"method": "range"}), Step("fit", {"size": [1, 112, 112]}))
SOLID = (
    Step("orient"),
    Step("crop"),
    Step("resample", {"spacing_mm": [1.9, 1.7, 1.8]}),
    Step("normalise", {"method": "range"}),
    Step("fit", {"size": [30, 40, 44], "pad": "minimum"}),
)
TARGET = Target(TargetKind.MASKS, ("cytoplasm", "nucleus"), name="masks")
LOOKUP = ((-1, 255), (0, 0), (128, 1), (255, 2))


def blobs(shape: tuple[int, ...]) -> np.ndarray:
    """128 in an ellipsoid off the middle, 255 in a smaller one within it."""
    at = [(np.arange(n) - 0.45 * n) / n for n in shape]
    far = np.sqrt(sum(part.reshape([-1 if k == axis else 1 for k in range(len(shape))]) ** 2 for axis, part in enumerate(at)))
    return np.where(far < 0.17, 255, np.where(far < 0.3, 128, 0)).astype(np.uint8)


def flat(folder: Path) -> Path:
    """PNG pictures and masks of several sizes."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for at, size in enumerate(SIZES):
        labels = blobs(size)
        cv2.imwrite(str(folder / "masks" / f"{at}.png"), labels)
        picture = np.where(labels == 255, 250, np.where(labels == 128, 140, 20 + at))
        cv2.imwrite(str(folder / "images" / f"{at}.png"), picture.astype(np.uint8))
    return folder


def solid(folder: Path) -> Path:
    """One oblique NIfTI volume and its mask; axes are swapped and flipped."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    labels = blobs((48, 40, 36))
    turn = np.array([[0.1, -0.97, 0.2], [0.98, 0.08, -0.15], [0.13, 0.21, -0.96]]) * (1.2, 1.4, 1.3)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, (20, -30, 40)
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "masks" / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image((labels.astype(np.int16) + 40) * (labels > 0), affine), folder / "images" / "a.nii.gz")
    return folder


def truth(folder: Path) -> Truth:
    """Of the masks in a folder, in the order of their names."""
    masks = readers.collect(folder / "masks", compute=Compute(0)).refs
    return Truth(TARGET, np.ones(len(masks), bool), tuple(map(labelmap.reference, masks)), LOOKUP)


def surveyed(folder: Path, cache: Path, steps: tuple[Step, ...]) -> tuple[Survey, Geometry]:
    """The images and their places."""
    refs = readers.collect(folder / "images", compute=Compute(0)).refs
    found = survey(refs, cache=cache, steps=steps, compute=Compute(0), pictures=False)
    return found, geometry_of(found)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks, 1 where they are the same."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
