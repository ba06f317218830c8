"""What is shown to a network of several targets, and what it should say of it: pixels and truth cut and changed alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import avg_pool3d, interpolate

from medloop.evaluation.rectangles import Boxes
from medloop.families._job import FitJob, Masks
from medloop.families._joint_solid import voxels_mm
from medloop.families._joint_tuning import Settings
from medloop.families._network_model import as_input
from medloop.families._windows import sizes_of, starts
from medloop.learning import augment
from medloop.learning.augment import Augmentation, Draws
from medloop.networks.heads.reconstruction import hide
from medloop.prepared.arrays import PreparedArrays, open_shard
from medloop.targets import measures
from medloop.targets.boxes import encode
from medloop.targets.measures import Scaling
from medloop.targets.reconstruction import BLOCK
from medloop.torch_compat import torch
from medloop.types import Array, Floats, Integers, TargetKind, Truth

_HIDDEN = 0.3
_HIDING_STREAM = 7
_OF_PLACES = {"masks", "boxes", "rules", "neighbours", "image"}


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Prepared images cut into windows that overlap: item ``i`` is window ``i % len(places)`` of image ``i // len(places)``.

    ``rows``: ``(n,)`` of the images in ``arrays``. ``places``: where windows of ``size`` ``(z, y, x)`` begin; a whole image is one.
    """

    arrays: PreparedArrays
    rows: Integers
    size: tuple[int, int, int]
    places: tuple[tuple[int, int, int], ...]

    @staticmethod
    def of(arrays: PreparedArrays, rows: Integers, patch: tuple[int, int, int]) -> Views:
        """All windows of these images."""
        size = sizes_of(arrays.shape[1:], patch)
        return Views(arrays, np.asarray(rows, np.int64), size, tuple(starts(arrays.shape[1:], size)))

    @property
    def key(self) -> str:
        """A name of exactly these pixels."""
        return f"{self.arrays.key} {self.size} {self.places}"

    @property
    def whole(self) -> bool:
        """Whether each image is one window."""
        return len(self.places) == 1

    def items(self, positions: Integers) -> Integers:
        """All windows of the images at these positions."""
        count = len(self.places)
        return np.asarray((np.asarray(positions)[:, None] * count + np.arange(count)).ravel())

    def positions(self, items: ArrayLike) -> Integers:
        """Of the images that the items are of."""
        return np.asarray(items, np.int64) // len(self.places)

    def take(self, indices: ArrayLike) -> Array:
        """``(n, C, Y, X)`` or ``(n, C, Z, Y, X)`` uint8; of a window only its own pixels are read."""
        items = np.asarray(indices, np.int64)
        rows = self.rows[self.positions(items)]
        if self.whole:
            return as_input(self.arrays.take(rows))
        found = np.empty((len(items), self.arrays.shape[0], *self.size), self.arrays.dtype)
        for at, (row, item) in enumerate(zip(rows, items, strict=True)):
            image = open_shard(self.arrays.paths[self.arrays.shards[row]])[self.arrays.rows[row]]
            found[at] = image[(slice(None), *self.place(int(item)))]
        return as_input(found)

    def place(self, item: int) -> tuple[slice, slice, slice]:
        """Where a window lies in its image."""
        z, y, x = (slice(at, at + side) for at, side in zip(self.places[item % len(self.places)], self.size, strict=True))
        return z, y, x


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the training cases, by position among them.

    ``classes``: ``(n,)`` or ``(n, K)``, below 0 or NaN where unknown. ``masks``: rows as in the job's arrays. ``boxes``: of each
    case, in prepared voxels, of ``box_classes`` classes; ``boxes_known`` ``(n,)``. ``measures``: ``(n, M)`` scaled by ``scaling``.
    ``voxel_mm``: ``(n, 3)`` ``z, y, x`` of a prepared voxel, NaN where unknown, for rules.
    """

    classes: Array | None = None
    masks: Masks | None = None
    boxes: tuple[Boxes, ...] = ()
    boxes_known: NDArray[np.bool_] | None = None
    box_classes: int = 0
    measures: Floats | None = None
    scaling: Scaling | None = None
    voxel_mm: Floats | None = None

    @staticmethod
    def of(job: FitJob, settings: Settings, values: Array) -> Known:
        """``values``: of the dataset's own target, as the network learns them."""
        found: dict[str, object] = {}
        if settings.classes:
            number = values.dtype.kind == "f"
            seen = job.class_known.reshape(-1, *[1] * (values.ndim - 1))
            found["classes"] = np.where(seen, values, np.nan if number else -1).astype(np.float32 if number else np.int64)
        for target in settings.further:
            known = job.further[target.name]
            if target.kind is TargetKind.MASKS:
                found["masks"] = known
            elif isinstance(known, Truth) and target.kind is TargetKind.BOXES:
                rows = [int(row) for row in job.train]
                found["boxes"] = tuple(Boxes.of(known.boxes[row], known.box_classes[row]) for row in rows)
                found |= {"boxes_known": known.known[rows], "box_classes": len(target.classes)}
            elif isinstance(known, Truth) and known.numbers is not None:
                numbers = np.where(known.known[:, None], known.numbers, np.nan)[job.train]
                scaling = measures.learn_scaling(numbers)
                scaled = (numbers - np.array(scaling.centre)) / np.array(scaling.spread)
                found |= {"measures": scaled.astype(np.float32), "scaling": scaling}
        if settings.rules:
            found["voxel_mm"] = voxels_mm(job)
        return Known(**found)  # type: ignore[arg-type]

    def digest(self) -> str:
        """A name of all that is known."""
        state = hashlib.blake2b(digest_size=12)
        for array in (self.classes, self.measures, self.boxes_known, self.voxel_mm):
            state.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        for each in self.boxes:
            state.update(each.edges.tobytes() + each.classes.tobytes())
        if self.masks is not None:
            state.update(self.masks.key.encode())
        return state.hexdigest()

    def foreground(self, views: Views) -> NDArray[np.bool_]:
        """Which of all items show anything that is to be found; all where nothing is said of places."""
        count = len(views.rows) * len(views.places)
        if self.masks is None:
            return np.ones(count, bool)
        found = np.zeros(count, bool)
        for position, row in enumerate(views.rows):
            mask = self.masks.take([row])[0]
            there = (mask > 0) & (mask != 255)
            for item in views.items(np.array([position])):
                found[item] = there[views.place(int(item))].any()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Augmentation of a batch with what is known of it. ``targets``: names of what is wanted (as in `networks.costs`). ``cell``:
    voxels a side of which the network sees only the mean."""

    views: Views
    known: Known
    augmentation: Augmentation
    targets: tuple[str, ...]
    stride: int
    seed: int
    cell: int = 1

    def __call__(
        self, pixels: torch.Tensor, targets: torch.Tensor, epoch: int, first: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor | tuple[torch.Tensor, ...]]]:
        """Changed pixels, and by name what should be said of them. ``targets``: the numbers of the items."""
        items = targets.cpu().numpy()
        draws = augment.draw(len(pixels), self.augmentation, self.seed, epoch, first)
        shown = self._changed(pixels, draws)
        wanted = {name: there(each, pixels.device) for name, each in self.told(items, draws, flat=pixels.dim() == 4).items()}
        if "image" in self.targets:
            shown, wanted["image"] = hide(shown, self._hidden(shown, epoch, first))
        return shown, wanted

    def told(self, items: Integers, draws: Draws, *, flat: bool) -> dict[str, torch.Tensor | tuple[torch.Tensor, ...]]:
        """By name what should be said of these items, changed so; all but the image itself. ``flat``: without a slice axis."""
        positions = self.views.positions(items)
        found: dict[str, torch.Tensor | tuple[torch.Tensor, ...]] = {}
        for name in ("classes", "embedding"):
            if name in self.targets and self.known.classes is not None:
                found[name] = torch.from_numpy(self.known.classes[positions])
        if "measures" in self.targets and self.known.measures is not None:
            found["measures"] = torch.from_numpy(self.known.measures[positions])
        if "rules" in self.targets and self.known.voxel_mm is not None:
            larger = np.linalg.norm(draws.matrix, axis=1)[:, ::-1]
            found["rules"] = torch.from_numpy((self.known.voxel_mm[positions] * larger).astype(np.float32))
        if "masks" in self.targets:
            found["masks"] = self._masks(items, draws, flat=flat)
        if "neighbours" in self.targets:
            found["neighbours"] = found["masks"] if "masks" in found else self._masks(items, draws, flat=flat)
        if "boxes" in self.targets:
            found["boxes"] = self._boxes(items, draws, flat=flat)
        return found

    def _changed(self, pixels: torch.Tensor, draws: Draws) -> torch.Tensor:
        """As `augment.apply`; where only means over cells are seen and nothing is said of places, the cells themselves are."""
        whole = _OF_PLACES.isdisjoint(self.targets) and not any(side % self.cell for side in pixels.shape[2:])
        by_voxel = draws.blur.any() or draws.sharpen.any() or draws.noise.any()
        if self.cell == 1 or pixels.dim() < 5 or by_voxel or not whole:
            return augment.apply(pixels, draws)
        found = augment.apply(avg_pool3d(pixels.float(), self.cell), draws)
        return interpolate(found, scale_factor=self.cell, mode="nearest")

    def _masks(self, items: Integers, draws: Draws, *, flat: bool) -> torch.Tensor:
        """``(n, [Z,] Y, X)`` uint8."""
        if self.known.masks is None:
            raise ValueError("no masks are known")
        rows = self.views.rows[self.views.positions(items)]
        if self.views.whole:
            labels = self.known.masks.take(rows)
        else:
            pairs = zip(rows, items, strict=True)
            labels = np.stack([self.known.masks.take([row])[0][self.views.place(int(item))] for row, item in pairs])
        moved = augment.move(torch.from_numpy(np.ascontiguousarray(labels)), draws)
        return moved[:, 0] if flat else moved

    def _boxes(self, items: Integers, draws: Draws, *, flat: bool) -> tuple[torch.Tensor, ...]:
        """As `networks.heads.boxes.loss` wants them."""
        if self.known.boxes_known is None:
            raise ValueError("no boxes are known")
        depth, high, wide = self.views.size
        positions = self.views.positions(items)
        moved = [self._moved(int(item), at, draws) for at, item in enumerate(items)]
        cells = (-(-high // self.stride), -(-wide // self.stride))
        shape = cells if flat else (depth, *cells)
        maps = encode(moved, self.known.boxes_known[positions], self.known.box_classes, shape, self.stride)
        return tuple(map(torch.from_numpy, (maps.centres, maps.sizes, maps.weights, maps.known)))

    def _moved(self, item: int, at: int, draws: Draws) -> Boxes:
        """The boxes of an item, as its changed pixels show them."""
        boxes = self.known.boxes[int(self.views.positions([item])[0])]
        if len(boxes) == 0:
            return boxes
        start = [each.start for each in self.views.place(item)]
        edges, seen = augment.move_boxes(boxes.edges - np.array([*start, *start]), draws, at, self.views.size)
        return Boxes(edges[seen], boxes.classes[seen], boxes.scores[seen])

    def _hidden(self, pixels: torch.Tensor, epoch: int, first: int) -> torch.Tensor:
        """``(n, rows, columns)`` bool: in every other picture a part of all blocks."""
        shape = tuple(-(-int(side) // BLOCK) for side in pixels.shape[-2:])
        grids = []
        for place in range(first, first + len(pixels)):
            draw = np.random.default_rng([self.seed % 2**63, epoch, place, _HIDING_STREAM])
            grids.append((draw.random(shape) < _HIDDEN) & (place % 2 == 0))
        return torch.from_numpy(np.stack(grids)).to(pixels.device)


def there(truth: torch.Tensor | tuple[torch.Tensor, ...], device: torch.device) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """On the device."""
    return tuple(each.to(device) for each in truth) if isinstance(truth, tuple) else truth.to(device)
