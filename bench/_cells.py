"""The white blood cells as benches ask for them, and what thresholds make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from bench.core import shared
from medloop.evaluation import overlap

CYTOPLASM, NUCLEUS = 128, 255
Mask = NDArray[np.bool_]


def images() -> dict[str, Any]:
    """The images alone, with their classes."""
    folder = shared("wbc")
    return {"src": str(folder), "images": "*.bmp", "labels": str(next(folder.glob("*.csv")))}


def outlined() -> dict[str, Any]:
    """The images with classes and masks."""
    return images() | {"masks": "*.png", "mask_classes": f"{CYTOPLASM}=cytoplasm,{NUCLEUS}=nucleus"}


def otsu() -> tuple[float, float]:
    """Mean Dice of nucleus and whole cell by Otsu's thresholds alone: the darkest and the two darkest of three classes of green."""
    found = []
    for image, mask in pairs():
        low, high = threshold_multiotsu(image[..., 1], classes=3)
        cell = ndimage.binary_fill_holes(_largest(image[..., 1] <= high))
        found.append((_dice(image[..., 1] <= low, mask == NUCLEUS), _dice(cell, mask > 0)))
    nucleus, whole = np.nanmean(found, axis=0)
    return float(nucleus), float(whole)


def pairs() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Each image ``(Y, X, 3)`` BGR with its mask ``(Y, X)``."""
    for path in _files():
        yield _read(path, cv2.IMREAD_COLOR), _read(path.with_suffix(".png"), cv2.IMREAD_GRAYSCALE)


def boxes(place: Path) -> str:
    """A COCO file of the boxes around nucleus and whole cell of each image."""
    entries: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, path in enumerate(_files(), 1):
        mask = _read(path.with_suffix(".png"), cv2.IMREAD_GRAYSCALE)
        entries.append({"id": number, "file_name": path.name, "height": mask.shape[0], "width": mask.shape[1]})
        for kind, inside in ((1, mask == NUCLEUS), (2, mask > 0)):
            if inside.any():
                x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
                one = {"id": len(found) + 1, "image_id": number, "category_id": kind, "bbox": [x, y, width, height]}
                found.append({**one, "area": int(inside.sum()), "iscrowd": 0})
    kinds = [{"id": 1, "name": "nucleus"}, {"id": 2, "name": "cell"}]
    file = place / "instances.json"
    file.write_text(json.dumps({"images": entries, "annotations": found, "categories": kinds}))
    return str(file)


def _files() -> list[Path]:
    return sorted(shared("wbc").rglob("*.bmp"))


def _read(path: Path, how: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path), how), np.uint8)


def _largest(found: Mask) -> Mask:
    labels, count = ndimage.label(found)
    sizes = ndimage.sum_labels(found, labels, range(1, count + 1))
    return np.asarray(labels == 1 + int(np.argmax(sizes)))


def _dice(found: Mask, truth: Mask) -> float:
    return float(overlap.dice(overlap.confusion(truth.astype(np.uint8), found.astype(np.uint8), 1))[0])
