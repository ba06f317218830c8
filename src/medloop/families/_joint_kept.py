"""What a backbone that stands still says of pictures, kept on disk: heads learn from it many times and pay for it once.

Each picture is kept in several views, changed as the augmentation allows where whole pixels stay whole: flipped, in quarter turns,
in other light. What is kept depends on the picture, the network and the draws alone, so all trainings of a dataset share it.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from medloop.families._job import FitJob
from medloop.families._joint_truth import Changes, Views, there
from medloop.learning import augment, devices
from medloop.learning.augment import Augmentation, Draws
from medloop.networks.multitask import Multitask
from medloop.torch_compat import torch
from medloop.types import Array, Integers
from medloop.version import VERSION

TARGETS = ("masks", "boxes")
"""What heads learn from kept maps; the layer of the classes is fitted to them afterwards, once it is known where things are."""
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Maps of the training cases: item ``i`` is view ``i % count`` of the case at position ``i // count``.

    ``maps``: ``(N, count, numbers)`` int16, the bits of bfloat16, a row for each case of the dataset; ``there``: ``(N,)`` uint8,
    whether that row is filled. ``shapes``: of one picture's maps ``(C_i, Y_i, X_i)``, which lie one behind the other, channels
    last. ``draws``: of all ``N * count`` views.
    """

    views: Views
    count: int
    maps: Array
    there: Array
    shapes: tuple[tuple[int, int, int], ...]
    draws: Draws
    key: str

    @staticmethod
    def of(job: FitJob, net: Multitask, views: Views, augmentation: Augmentation, count: int) -> Kept:
        """Room for ``count`` views of each case, in the job's cache, or else in a file that nobody else sees. Nothing is filled."""
        kept_still = still(augmentation, views.size)
        state = hashlib.blake2b(digest_size=12)
        said = [VERSION, views.key, net.backbone.spec.to_json(), kept_still.to_json(), count, job.recipe.seed]
        state.update(json.dumps(said).encode())
        for tensor in net.backbone.state_dict().values():
            state.update(tensor.detach().contiguous().numpy().tobytes())
        shapes = _shapes(net, views)
        key, total = state.hexdigest(), len(views.arrays)
        folder = None if job.cache is None else job.cache / "maps"
        maps = _room(folder, f"{key}.maps", np.int16, (total, count, sum(map(math.prod, shapes))))
        there = _room(folder, f"{key}.there", np.uint8, (total,))
        draws = augment.draw(total * count, kept_still, job.recipe.seed, 0, 0)
        return Kept(views, count, maps, there, shapes, draws, key)

    def take(self, indices: ArrayLike) -> Array:
        """``(n, numbers)`` int16."""
        items = np.asarray(indices, np.int64)
        return np.asarray(self.maps[self.views.rows[items // self.count], items % self.count])

    def drawn(self, items: Integers) -> Draws:
        """How these items are changed."""
        return self.draws.select(self.views.rows[items // self.count] * self.count + items % self.count)

    def fill(self, net: Multitask, positions: Integers, job: FitJob) -> None:
        """Compute what is not there yet of the cases at these positions."""
        lacking = np.asarray(positions)[self.there[self.views.rows[positions]] == 0]
        items = self.items(lacking)
        bf16 = devices.place("cpu", "auto").bf16
        net.eval()
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=bf16),
            job.tell.task("maps of the pictures", len(items)) as tick,
        ):
            for start in range(0, len(items), _AT_ONCE):
                part = items[start : start + _AT_ONCE]
                pixels = augment.apply(torch.from_numpy(self.views.take(part // self.count)), self.drawn(part))
                seen = pixels.contiguous(memory_format=torch.channels_last)
                found = [each.movedim(1, -1).flatten(1).to(torch.bfloat16) for each in net.maps(seen)]
                self.maps[self.views.rows[part // self.count], part % self.count] = (
                    torch.cat(found, dim=1).view(torch.int16).numpy()
                )
                tick(len(part))
        self.there[self.views.rows[lacking]] = 1

    def items(self, positions: Integers) -> Integers:
        """All views of the cases at these positions."""
        return np.asarray((np.asarray(positions)[:, None] * self.count + np.arange(self.count)).ravel())


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Which views an epoch shows: each of ``cases`` once, as positions among the items of those cases (`Kept.items`)."""

    cases: int
    count: int
    seed: int

    def __call__(self, epoch: int) -> Integers:
        """Cases in a new order each time, each in a view that is drawn anew."""
        draw = np.random.default_rng([self.seed % 2**63, epoch])
        return np.asarray(draw.permutation(self.cases) * self.count + draw.integers(self.count, size=self.cases))


@dataclass(frozen=True, slots=True, eq=False)
class KeptTruth:
    """What should be said of kept views: stands where augmentation stands, and leaves the maps as they are."""

    kept: Kept
    changes: Changes

    def __call__(
        self, maps: torch.Tensor, targets: torch.Tensor, epoch: int, first: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor | tuple[torch.Tensor, ...]]]:
        """``targets``: the numbers of the items."""
        del epoch, first
        items = targets.cpu().numpy()
        wanted = self.changes.told(items // self.kept.count, self.kept.drawn(items), flat=True)
        return maps, {name: there(each, maps.device) for name, each in wanted.items()}


class Heads(torch.nn.Module):
    """The heads of a network, shown kept maps ``(N, numbers)`` in place of pictures (see `joint.Shared`). Without the backbone."""

    def __init__(self, net: Multitask, kept: Kept) -> None:
        super().__init__()
        self._net, self._shapes, self._size = (net,), kept.shapes, kept.views.size[1:]
        self.parts = torch.nn.ModuleDict({name: getattr(net, name) for name in ("pyramid", *TARGETS) if hasattr(net, name)})

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """One block."""
        return [list(self.parameters())]

    def maps(self, packed: torch.Tensor) -> Sequence[torch.Tensor]:
        """``(N, C_i, Y_i, X_i)`` each."""
        parts = packed.view(torch.bfloat16).split([math.prod(shape) for shape in self._shapes], dim=1)
        found = [part.reshape(-1, y, x, c).movedim(-1, 1) for part, (c, y, x) in zip(parts, self._shapes, strict=True)]
        found = [each.contiguous(memory_format=torch.channels_last) for each in found]
        return found if torch.is_autocast_enabled(packed.device.type) else [each.float() for each in found]

    def answers(self, maps: Sequence[torch.Tensor], packed: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        """As the network answers."""
        found: dict[str, torch.Tensor] = self._net[0].answers(maps, self._picture(packed), asked)
        return found

    def features(self, packed: torch.Tensor) -> torch.Tensor:
        """Pooled numbers as the network's, ``(N, 1, width)``."""
        found: torch.Tensor = self._net[0].pooled(self.maps(packed), self._picture(packed))
        return found

    def _picture(self, packed: torch.Tensor) -> torch.Tensor:
        """Only its shape is asked for."""
        return torch.empty((), device=packed.device).expand(len(packed), 1, *self._size)


def still(augmentation: Augmentation, size: Sequence[int]) -> Augmentation:
    """What of an augmentation leaves whole pixels whole."""
    square = size[-1] == size[-2]
    plain = replace(augmentation, turn=0.0, tilt=0.0, scale=0.0, shift=0.0, cut_out=0.0)
    return replace(plain, quarters=augmentation.quarters and square)


def _shapes(net: Multitask, views: Views) -> tuple[tuple[int, int, int], ...]:
    with torch.inference_mode():
        found = net.eval().maps(torch.zeros(1, views.arrays.shape[0], *views.size[1:]))
    return tuple((int(each.shape[1]), int(each.shape[2]), int(each.shape[3])) for each in found)


def _room(folder: Path | None, name: str, dtype: type, shape: tuple[int, ...]) -> Array:
    """Zeros on disk: as they were left under this name, or in a file without one."""
    if folder is None:
        with tempfile.TemporaryFile(prefix="medloop-maps-") as file:
            return np.memmap(file, dtype, "w+", shape=shape)
    folder.mkdir(parents=True, exist_ok=True)
    path, size = folder / name, math.prod(shape) * np.dtype(dtype).itemsize
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            file.truncate(size)
    return np.memmap(path, dtype, "r+", shape=shape)
