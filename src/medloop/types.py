"""The nouns of medloop: frozen, typed, without input or output and without torch.

Axes of pixels are always ``(T, C, Z, Y, X)``: time, channel, slice, row, column. Positions are in millimetres in the
DICOM patient coordinate system (LPS: to the Left, Posterior, Superior). What is not known is ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Json: TypeAlias = Any
"""What ``json.loads`` can return."""
SpacingMm: TypeAlias = tuple[float, float, float]
Shape: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pixels with what is known of their place in the patient.

    ``pixels``: ``(T, C, Z, Y, X)``. ``spacing_mm``: ``(z, y, x)``. ``affine_lps``: 4 by 4, takes the voxel index
    ``(x, y, z, 1)`` to LPS millimetres. ``modality``: DICOM code such as CT, MR, DX. ``colour``: channels are R, G, B.
    ``window``: ``(centre, width)`` in the pixels' own units, as the file recommends for display. ``from_voxel``: 4 by 4, takes the
    index ``(x, y, z, 1)`` of a voxel's centre to that in the image as it was read; None: this is the image as read, NaN: unknown.
    """

    pixels: Array
    spacing_mm: SpacingMm | None = None
    affine_lps: Array | None = None
    modality: str | None = None
    colour: bool = False
    window: tuple[float, float] | None = None
    from_voxel: Array | None = None


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image lies; cheap enough to hold one for every image of a collection.

    ``name`` is unique in its collection and stable between machines: the path relative to the source, for a series the
    folder and the series, for an ``.npz`` item ``file.npz#train/12``. ``files`` are absolute paths in reading order.
    ``item`` tells the reader which part of the files (a split and index, a time point, a series).
    ``stamp`` is a hash of the files' paths, sizes and times and of ``item``: equal stamps need not be opened again.
    ``digest`` is the hash of the content, empty until the files have been read whole.
    ``facts`` are acquisition facts as sorted ``(name, text)`` pairs (``modality``, ``manufacturer``, ...).
    """

    name: str
    reader: str
    files: tuple[str, ...]
    item: str = ""
    shape: Shape = (1, 1, 1, 0, 0)
    dtype: str = "uint8"
    spacing_mm: SpacingMm | None = None
    colour: bool = False
    stamp: str = ""
    digest: str = ""
    patient: str | None = None
    study: str | None = None
    series: str | None = None
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def modality(self) -> str | None:
        """DICOM modality code, where the file says it."""
        return self.fact("modality")

    @property
    def volume(self) -> bool:
        """Whether this is a volume (more than one slice)."""
        return self.shape[2] > 1

    def fact(self, name: str) -> str | None:
        """The acquisition fact of that name, or None."""
        return next((text for key, text in self.facts if key == name), None)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file (or an image in it) that is not used, and the reason a person can act on."""

    path: str
    reason: str


class Split(StrEnum):
    """The three parts of a dataset. Patients never cross them."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Case:
    """What one diagnosis is about: images of one patient, with what is known of patient, study, site, acquisition.

    ``group`` is what must stay on one side of a split (patient, lesion or study). ``given_split`` is what the
    data's own layout says. ``attributes`` are subgroup facts (``sex``, ``age_band``, ``site``, ``scanner``). ``prior``: the name of
    the image of the patient's study before it, where the data say which that is.
    """

    name: str
    images: tuple[ImageRef, ...]
    patient: str | None = None
    group: str | None = None
    study: str | None = None
    site: str | None = None
    given_split: Split | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    prior: str | None = None

    def attribute(self, name: str) -> str | None:
        """The attribute of that name, or None."""
        return next((text for key, text in self.attributes if key == name), None)


class TargetKind(StrEnum):
    """What kind of answer is learnt."""

    BINARY = "binary"
    MULTICLASS = "multi-class"
    MULTILABEL = "multi-label"
    NUMBER = "number"
    MASKS = "masks"
    BOXES = "boxes"
    MEASURES = "measures"
    RECONSTRUCTION = "reconstruction"

    @property
    def structured(self) -> bool:
        """Whether an answer is more than one value for a case: masks, boxes, measures, the anomaly map of a reconstruction."""
        return self in (TargetKind.MASKS, TargetKind.BOXES, TargetKind.MEASURES, TargetKind.RECONSTRUCTION)


@dataclass(frozen=True, slots=True)
class Target:
    """What to learn. For ``BINARY`` the second class is the positive one. ``NUMBER`` has no classes.

    ``MASKS`` and ``BOXES``: the kinds of tissue or finding; in a mask 0 is what is none of them, k + 1 the k-th. ``MEASURES``: the
    names of what is measured, ``units`` their units (``mm``, ``mm2``, ``ml``, ``px``, ``px2``, ``px3``, ``1/mm``, or empty), in the
    same order.
    """

    kind: TargetKind
    classes: tuple[str, ...] = ()
    name: str = "classes"
    unit: str | None = None
    units: tuple[str, ...] = ()


class Provenance(StrEnum):
    """Where a label comes from. AI-only labels never count as truth."""

    IMPORTED = "imported"
    HUMAN = "human"
    HUMAN_AFTER_AI = "human-after-ai"
    AI_ONLY = "ai-only"


LabelValue: TypeAlias = str | float | tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class Label:
    """A value for (case, target). Appended, never overwritten.

    ``value``: a class name, a number, or for multi-label ``((class, 1.0 | 0.0 | None for unknown), ...)``.
    ``where`` says which row or folder it was read from.
    """

    case: str
    value: LabelValue
    target: str = "classes"
    where: str = ""
    author: str = "import"
    time: str | None = None
    reason: str | None = None
    provenance: Provenance = Provenance.IMPORTED


UNKNOWN = 255
"""In a mask: a voxel of which nothing is known. It costs nothing and is not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the labels of one structured target say of N cases, in voxels of their images as read.

    ``known``: ``(N,)`` bool; of the others nothing is known, which is not the same as nothing there. Of the rest only what fits the
    target's kind is filled.

    ``masks`` (MASKS): N label maps on the grids of their images, None where unknown. ``lookup``: value in the file to the mask's
    value (0: none of the classes, k + 1: the k-th, `UNKNOWN`).
    ``boxes`` (BOXES): N arrays ``(k, 6)`` float64 ``z0, y0, x0, z1, y1, x1``, edges in voxels: voxel i covers i to i + 1, a flat
    picture has z 0 to 1. ``box_classes``: N arrays ``(k,)`` int64.
    ``numbers`` (MEASURES): ``(N, M)`` float64, NaN where unknown.
    """

    target: Target
    known: NDArray[np.bool_]
    masks: tuple[ImageRef | None, ...] = ()
    lookup: tuple[tuple[int, int], ...] = ()
    boxes: tuple[Array, ...] = ()
    box_classes: tuple[Array, ...] = ()
    numbers: Floats | None = None

    def __len__(self) -> int:
        return len(self.known)

    def select(self, rows: Sequence[int] | Integers) -> Truth:
        """The truth of these cases, in this order."""
        at = np.asarray(rows, dtype=np.int64).reshape(-1)

        def chosen(each: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(each[row] for row in at.tolist()) if each else ()

        return replace(
            self,
            known=self.known[at],
            masks=chosen(self.masks),
            boxes=chosen(self.boxes),
            box_classes=chosen(self.box_classes),
            numbers=None if self.numbers is None else self.numbers[at],
        )


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that an answer breaks: its name, the value found, and what would be allowed, in plain words."""

    rule: str
    value: str
    allowed: str


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What a model finds in one case, in voxels of its image as read.

    ``mask``: ``(Z, Y, X)`` uint8 as in `Truth`, None where the model has no masks. ``boxes``: ``(n, 6)`` float64 as in `Truth`,
    ``box_classes`` ``(n,)``, ``box_scores`` ``(n,)`` from 0 to 1, highest first; of a model of masks alone they are places that
    are nearly in the mask. ``part_scores``: ``(n,)`` from 0 to 1, of the connected parts of the mask as
    `medloop.targets.masks.instances` has them. ``measures``: name to value in the target's units.
    ``violations``: the rules it breaks. ``anomaly``: ``(Z, Y, X)`` uint8, how rare an error as each voxel's is among
    training cases, in steps of `medloop.targets.reconstruction.STEP`; None where that was not learnt.
    ``raw``: ``(K,)`` float64, what the same look says of the classes (scores before calibration), None where they are not learnt.
    """

    case: str
    mask: NDArray[np.uint8] | None = None
    boxes: Array | None = None
    box_classes: Array | None = None
    box_scores: Array | None = None
    part_scores: Floats | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    anomaly: NDArray[np.uint8] | None = None
    raw: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """An immutable snapshot: cases, what they are labelled with, and a patient-grouped split.

    With N cases and K classes: ``values`` is ``(N,)`` int64 class indices (binary, multi-class), ``(N, K)`` float32
    with NaN for unknown (multi-label), or ``(N,)`` float64 (number). ``groups`` is ``(N,)`` int64: cases with equal
    numbers must stay together (same patient, or copies of one picture). ``patients`` is ``(N,)`` int64.
    ``split`` is ``(N,)`` of ``"train"``, ``"val"``, ``"test"``. ``further``: structured targets, whose rows are the same cases.
    Where nothing but structured targets is learnt, ``target`` is the first of theirs and ``values`` ``(N,)`` are zeros.
    ``class_known``: ``(N,)`` bool, the cases whose value is known, None where all are. Of the others ``values`` holds -1 (binary,
    multi-class) or NaN; there are some only where structured targets are learnt too. ``taught``: ``(N,)`` bool, the cases whose
    labels (where structured targets are learnt too: whose classes) may be learnt from, None where all may; the rest only judge.
    """

    cases: tuple[Case, ...]
    target: Target
    values: Array
    groups: Integers
    patients: Integers
    split: NDArray[np.str_]
    fingerprint: str
    split_given: bool = False
    notes: tuple[str, ...] = ()
    further: tuple[Truth, ...] = ()
    class_known: NDArray[np.bool_] | None = None
    taught: NDArray[np.bool_] | None = None

    def indices(self, *splits: str) -> NDArray[np.int64]:
        """Positions of the cases in the named splits, ascending."""
        return np.flatnonzero(np.isin(self.split, splits))


@dataclass(frozen=True, slots=True)
class Step:
    """One preparation step by name, with its parameters."""

    name: str
    params: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made: pure data, TOML and JSON both ways (`medloop.recipes`).

    ``preparation`` empty means: chosen from the data, and written into the recipe of the run.
    """

    name: str
    family: str
    preparation: tuple[Step, ...] = ()
    parameters: Mapping[str, Json] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with its 95 % interval. Without an interval ``reason`` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Calibrated answers for N cases and K classes.

    ``probabilities``: ``(N, K)`` float64 (for numbers ``(N, 1)``: the predicted number). ``labels``: the decision of
    each case, classes joined by ``|`` for multi-label, the number as text for regression. ``confidence``: ``(N,)``.
    ``abstain``: ``(N,)`` bool, below the threshold learnt on validation data.
    """

    cases: tuple[str, ...]
    probabilities: Floats
    labels: tuple[str, ...]
    confidence: Floats
    abstain: NDArray[np.bool_]
