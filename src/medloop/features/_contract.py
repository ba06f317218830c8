"""What a feature module promises, and what it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from medloop.compute import Compute, Died
from medloop.errors import InputError
from medloop.prepared.arrays import PreparedArrays, open_shard
from medloop.types import Array

T = TypeVar("T")
Rows: TypeAlias = NDArray[np.float32]
"""``(N, D)`` float32, finite."""
State: TypeAlias = Mapping[str, Array]
"""What a feature has learnt from training images (a vocabulary): arrays by name, ``{}`` for a feature that learns nothing."""
Part: TypeAlias = tuple[Path, Array]
"""A shard of prepared arrays and the rows wanted of it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring columns of a feature that belong together, with a name that a head can ask for."""

    name: str
    width: int


def read(parts: Iterable[Part]) -> Array:
    """The images ``(N, C, Z, Y, X)`` that the parts name, in their order; shards are mapped by the process that asks."""
    return np.concatenate([open_shard(path)[rows] for path, rows in parts])


def alive(answer: T | Died, name: str) -> T:
    """The answer of a worker for the feature of that name.

    Raises `InputError` where the worker died: on images that were read before, that is most often a lack of memory.
    """
    if isinstance(answer, Died):
        raise InputError(
            "feature-died",
            got=f"The process that computed the feature '{name}' ended without a word, most often for lack of memory.",
            allowed="Room for one chunk of images in each process.",
            fix="Use fewer processes with --workers 1, or close other programs.",
        )
    return answer


class FeatureModule(Protocol):
    """A module of this room. ``Params`` is a frozen dataclass of JSON values; ``CHOICES`` are alternatives for a search.

    It may also have ``source(arrays, params) -> str``, where the state depends on nothing else: it is then not learnt from the
    images, and made once for all of them; and ``blocks(params, state) -> tuple[Block, ...]``, its columns by name.
    """

    VERSION: int
    Params: type[Any]
    CHOICES: tuple[Any, ...]

    def suits(self, arrays: PreparedArrays) -> bool:
        """Whether the feature can say anything about such images."""

    def fit(self, arrays: PreparedArrays, indices: Array, params: Any, seed: int, compute: Compute) -> dict[str, Array]:
        """Learn from the training images named by ``indices`` and from nothing else."""

    def extract(self, batch: Array, params: Any, state: State) -> Rows:
        """``(N, C, Z, Y, X)`` to ``(N, D)``; each row depends on its own image and ``state`` only."""
