"""Choose the preparation from what headers say: sizes, spacings, colour, modality, number types. No pixel is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medloop.types import Array, Floats, ImageRef, Step

VOXELS = 96**3
"""Voxels of one prepared volume, about: enough to keep a lesion of 1 cm visible in an abdomen, few enough for thousands."""
SIDE = 224
"""Longer side of prepared pictures that are larger than this."""
_ALIKE = 1.6
_SPARE = 1.2
"""How far volumes may exceed the budget and stay as they are: a resampling by a few percent only blurs."""
_WORLD = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
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
    """Steps that bring ``refs`` (of one kind, see `main_kind`), and any image like them, to one shape and 8 bits.

    A step that has nothing to do for ``refs`` is there for the images to come: the recipe is kept with the model.
    ``voxels``: about how many a prepared volume may have. ``side``: the longer side of pictures that are larger.
    """
    colour = 2 * sum(ref.colour for ref in refs) > len(refs)
    volumes = any(ref.volume for ref in refs)
    shape = _volumes(refs, voxels) if volumes else _flat(refs, side, grey=not colour)
    return (
        Step("clean", {"slices": True} if any(step.name == "crop" for step in shape) and volumes else {}),
        Step("sample", {"frames": "middle"}),
        Step("channels", {"to": "rgb" if colour else "grey"}),
        *shape,
        Step("normalise", _intensities(refs)),
        Step("fit", {"size": _size(shape), "pad": "minimum" if volumes else "edge"}),
    )


def _kind(ref: ImageRef) -> tuple[bool, int]:
    return ref.volume, 1 if ref.colour else ref.shape[1]


def _named(kind: tuple[bool, int], *, many: bool = False) -> str:
    volume, channels = kind
    name = ("volumes" if volume else "flat pictures") if many else ("a volume" if volume else "a flat picture")
    return name if channels == 1 else f"{name} of {channels} channels"


def _flat(refs: Sequence[ImageRef], side: int, *, grey: bool) -> list[Step]:
    """Pictures of one small size stay; of small sizes alike keep their scale; others are shrunk into one frame."""
    sizes = np.array([ref.shape[3:] for ref in refs] or [(side, side)], np.int64)
    high, wide = sizes[:, 0], sizes[:, 1]
    longer = np.maximum(high, wide)
    one = len(np.unique(sizes, axis=0)) == 1
    if one and longer[0] <= side:
        return [Step("resample", {"size": [1, int(high[0]), int(wide[0])]})]
    few = np.quantile(longer, 0.98)
    if few <= side and few <= _ALIKE * np.quantile(longer, 0.02):
        frame = [1, _even(np.quantile(high, 0.98)), _even(np.quantile(wide, 0.98))]
        return [Step("resample", {"size": frame, "grow": False})]
    frame = [1, *_frame(high, wide, int(min(side, _even(np.quantile(longer, 0.9)))))]
    return [*([Step("crop")] if grey and not one else []), Step("resample", {"size": frame})]


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


def _volumes(refs: Sequence[ImageRef], voxels: int) -> list[Step]:
    """Volumes of one size within the budget stay; others get a common spacing at which most fit into the budget."""
    sizes = np.array([_turned(ref, ref.shape[2:]) for ref in refs], np.float64)
    one = len(np.unique(sizes, axis=0)) == 1
    known = [_turned(ref, ref.spacing_mm) for ref in refs if ref.spacing_mm is not None]
    if len(known) < len(refs):
        size = _within_budget(np.quantile(sizes, 0.95, axis=0), np.ones(3), voxels)[1]
        return [Step("orient"), Step("resample", {"size": size})]
    native = np.array(known, np.float64)
    same = one and len(np.unique(native.round(3), axis=0)) == 1
    spacing, size = _within_budget(np.quantile(sizes * native, 0.95, axis=0), np.median(native, axis=0), voxels)
    small = same and float(sizes[0].prod()) <= voxels
    return [Step("orient"), *([] if small else [Step("crop")]), Step("resample", {"spacing_mm": spacing, "size": size})]


def _turned(ref: ImageRef, sizes: Sequence[float]) -> tuple[float, ...]:
    """``(z, y, x)`` as `orient` will leave it; the fact ``axes`` says where x, y and z of the file run (``LPS``, ``PIR``, ...)."""
    axes = ref.fact("axes") or "LPS"
    world = {_WORLD[letter]: size for letter, size in zip(axes, reversed(sizes), strict=True)}
    return world[2], world[1], world[0]


def _size(shape: Sequence[Step]) -> list[int]:
    size: list[int] = shape[-1].params["size"]
    return size


def _within_budget(extent: Floats, native: Floats, voxels: int) -> tuple[list[float], list[int]]:
    """Spacing and size ``(z, y, x)`` of a box of ``extent`` with at most about ``voxels`` voxels.

    No axis is finer than ``native`` (nothing is invented); what a coarse axis leaves of the budget goes to the others, alike.
    """
    coarse = np.full(3, float(np.prod(extent / native)) <= _SPARE * voxels)
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
    """CT windows by the body part that most headers name, only one where images have several channels.

    The rest of `normalise` decides by each image's own modality.
    """
    if not any(ref.modality == "CT" for ref in refs):
        return {"method": "auto"}
    parts = Counter((ref.fact("body_part") or "").upper() for ref in refs if ref.modality == "CT")
    common = parts.most_common(1)[0][0]
    all_ct = all(ref.modality == "CT" for ref in refs)
    windows = next((windows for word, windows in _WINDOWS.items() if all_ct and word in common), (_SOFT_TISSUE,))
    if any(ref.shape[1] > 1 and not ref.colour for ref in refs):
        windows = windows[:1]
    return {"method": "auto", "windows": [list(window) for window in windows]}
