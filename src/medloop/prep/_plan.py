"""Choose the preparation from what headers say: sizes, spacings, colour, modality, number types. No pixel is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Floats, ImageRef, Step

VOXELS = 96**3
"""Voxels of one prepared volume, about: enough to keep a lesion of 1 cm visible in an abdomen, few enough for thousands."""
SIDE = 224
"""Longer side of prepared pictures that are larger than this."""
_ALIKE = 1.6
_SOFT_TISSUE = (-160.0, 240.0)
_LUNG = (-1350.0, 150.0)
_WINDOWS: dict[str, tuple[tuple[float, float], ...]] = {
    "CHEST": (_LUNG, _SOFT_TISSUE),
    "LUNG": (_LUNG, _SOFT_TISSUE),
    "THORAX": (_LUNG, _SOFT_TISSUE),
    "HEAD": ((0.0, 80.0), (-800.0, 2000.0)),
    "BRAIN": ((0.0, 80.0), (-800.0, 2000.0)),
}


@dataclass(frozen=True, slots=True)
class MainKind:
    """Which images can go into one array: ``kept`` positions, and ``left_out`` positions each with its reason."""

    kept: tuple[int, ...]
    left_out: tuple[tuple[int, str], ...]


def main_kind(refs: Sequence[ImageRef]) -> MainKind:
    """The kind (flat or volume, channels) that most images have; the others are left out. Grey and colour go together."""
    kinds = [_kind(ref) for ref in refs]
    if not kinds:
        return MainKind((), ())
    main = Counter(kinds).most_common(1)[0][0]
    kept = tuple(at for at, kind in enumerate(kinds) if kind == main)
    most = f"while most are {_named(main, many=True)}: learn from one kind at a time"
    reasons = {kind: f"it is {_named(kind)}, {most}" for kind in set(kinds)}
    return MainKind(kept, tuple((at, reasons[kind]) for at, kind in enumerate(kinds) if kind != main))


def plan(refs: Sequence[ImageRef], *, voxels: int = VOXELS, side: int = SIDE) -> tuple[Step, ...]:
    """Steps that bring ``refs`` (of one kind, see `main_kind`) to one shape and 8 bits. At least one step.

    ``voxels``: about how many a prepared volume may have. ``side``: the longer side of pictures that are larger.
    """
    steps = []
    if any(ref.shape[0] > 1 for ref in refs):
        steps.append(Step("sample", {"frames": "middle"}))
    colours = Counter(ref.colour for ref in refs)
    if len(colours) == 2:
        steps.append(Step("channels", {"to": "rgb" if colours[True] > colours[False] else "grey"}))
    sizes = np.array([ref.shape[2:] for ref in refs], np.int64).reshape(-1, 3)
    volumes = bool((sizes[:, 0] > 1).any())
    shaping = _volumes(refs, sizes, voxels) if volumes else _flat(sizes, side, grey=not colours[True])
    padding = shaping[-1:]  # after intensities, so that what is padded does not shift their percentiles
    steps += shaping[:-1]
    if any(ref.dtype != "uint8" for ref in refs):
        steps.append(Step("normalise", _intensities(refs)))
    return (Step("clean", {"slices": True} if volumes and padding else {}), *steps, *padding)


def _kind(ref: ImageRef) -> tuple[bool, int]:
    return ref.volume, 1 if ref.colour else ref.shape[1]


def _named(kind: tuple[bool, int], *, many: bool = False) -> str:
    volume, channels = kind
    name = ("volumes" if volume else "flat pictures") if many else ("a volume" if volume else "a flat picture")
    return name if channels == 1 else f"{name} of {channels} channels"


def _flat(sizes: NDArray[np.int64], side: int, *, grey: bool) -> list[Step]:
    """Pictures of one small size stay; of small sizes alike are padded; others are shrunk into one frame."""
    if len(sizes) == 0:
        return []
    high, wide = sizes[:, 1], sizes[:, 2]
    longer = np.maximum(high, wide)
    if len(np.unique(sizes, axis=0)) == 1 and longer[0] <= side:
        return []
    few = np.quantile(longer, 0.98)
    if few <= side and few <= _ALIKE * np.quantile(longer, 0.02):
        frame = [1, _even(np.quantile(high, 0.98)), _even(np.quantile(wide, 0.98))]
        return [Step("fit", {"size": frame, "pad": "edge"})]
    frame = [1, *_frame(high, wide, int(min(side, _even(np.quantile(longer, 0.9)))))]
    crop = [Step("crop")] if grey and len(np.unique(sizes, axis=0)) > 1 else []
    return [*crop, Step("resample", {"size": frame}), Step("fit", {"size": frame, "pad": "edge"})]


def _frame(high: Array, wide: Array, side: int) -> tuple[int, int]:
    """Height and width with the longer one ``side``: of the pictures' own aspect where they share it, else a square."""
    aspect = high / np.maximum(wide, 1)
    low, top = np.quantile(aspect, [0.02, 0.98])
    if top > 1.05 * low:
        return side, side
    middle = float(np.median(aspect))
    return (side, _even(side / middle)) if middle >= 1 else (_even(side * middle), side)


def _even(size: float) -> int:
    """The next multiple of 4: halves and quarters stay whole in networks and grids."""
    return int(-(-size // 4) * 4)


def _volumes(refs: Sequence[ImageRef], sizes: NDArray[np.int64], voxels: int) -> list[Step]:
    """Volumes of one size within the budget stay; others get a common spacing at which most fit into the budget."""
    if len(np.unique(sizes, axis=0)) == 1 and int(sizes[0].prod()) <= voxels and len({ref.spacing_mm for ref in refs}) == 1:
        return []
    known = [ref.spacing_mm for ref in refs if ref.spacing_mm is not None]
    if len(known) < len(refs):
        size = _within_budget(np.quantile(sizes, 0.95, axis=0), np.ones(3), voxels)[1]
        return [Step("orient"), Step("resample", {"size": size}), Step("fit", {"size": size, "pad": "minimum"})]
    native = np.array(known, np.float64)
    spacing, size = _within_budget(np.quantile(sizes * native, 0.95, axis=0), np.median(native, axis=0), voxels)
    return [
        Step("orient"),
        Step("crop"),
        Step("resample", {"spacing_mm": spacing}),
        Step("fit", {"size": size, "pad": "minimum"}),
    ]


def _within_budget(extent: Floats, native: Floats, voxels: int) -> tuple[list[float], list[int]]:
    """Spacing and size ``(z, y, x)`` of a box of ``extent`` with at most about ``voxels`` voxels.

    No axis is finer than ``native`` (nothing is invented); what a coarse axis leaves of the budget goes to the others, alike.
    """
    coarse = np.full(3, float(np.prod(extent / native)) <= voxels)
    spacing = native.astype(np.float64)
    while not coarse.all():
        fixed = float(np.prod(extent[coarse] / native[coarse]))
        even = float(np.prod(extent[~coarse]) * fixed / voxels) ** (1 / int((~coarse).sum()))
        spacing = np.where(coarse, native, even)
        sticking = ~coarse & (native > even)
        if not sticking.any():
            break
        coarse = coarse | sticking
    spacing = np.round(spacing, 3)
    return spacing.tolist(), [max(1, round(float(part))) for part in extent / spacing]


def _intensities(refs: Sequence[ImageRef]) -> dict[str, object]:
    """CT windows by the body part that most headers name; the rest of `normalise` decides by each image's own modality."""
    if not any(ref.modality == "CT" for ref in refs):
        return {"method": "auto"}
    parts = Counter((ref.fact("body_part") or "").upper() for ref in refs if ref.modality == "CT")
    common = parts.most_common(1)[0][0]
    all_ct = all(ref.modality == "CT" for ref in refs)
    windows = next((windows for word, windows in _WINDOWS.items() if all_ct and word in common), (_SOFT_TISSUE,))
    return {"method": "auto", "windows": [list(window) for window in windows]}
