"""What a training is given, and what it gives back."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from medloop.learning.plan import Plan
from medloop.progress import QUIET, Progress
from medloop.types import Array, Integers, Json


class Net(Protocol):
    """A `torch.nn.Module` that knows its depth."""

    def blocks(self) -> Sequence[Sequence[nn.Parameter]]:
        """All parameters: the stem first, then deeper and deeper, the head last."""
        ...


class Images(Protocol):
    """Where inputs come from: `medloop.prepared.arrays.PreparedArrays`, or anything that can do the same."""

    def take(self, indices: ArrayLike) -> Array:
        """A copy ``(n, ...)`` of these."""
        ...


class Loss(Protocol):
    """Outputs ``(n, ...)`` float32, targets ``(n, ...)``, weights ``(n,)`` or None, to a mean over the cases.

    A network with several answers gives them by name; what their targets are is between the augmentation and the loss.
    """

    def __call__(self, outputs: Any, targets: Any, weights: Tensor | None, /) -> Tensor:
        """A scalar."""
        ...


class Augment(Protocol):
    """Changes pixels and, for mixtures, targets of the cases at places ``first``, ``first + 1``, ... in the order of an epoch.

    Epochs count from 1. Draws come from the epoch and the place alone, so that an epoch can be repeated. Where targets are more
    than memory holds, those of the lesson are numbers by which this finds them, and it gives what the loss wants.
    """

    def __call__(self, pixels: Tensor, targets: Tensor, epoch: int, first: int, /) -> tuple[Tensor, Any]:
        """Pixels are on the training's device, ``(n, C, Y, X)`` or ``(n, C, Z, Y, X)``, in the type that `Images` gives."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cases:
    """n cases: ``rows`` ``(n,)`` in ``images``, ``targets`` ``(n, ...)`` as the loss wants them, ``weights`` ``(n,)`` or None."""

    images: Images
    rows: Integers
    targets: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lesson:
    """A network and what it is to learn.

    ``seen``: pixels that the network looks at for one case, all slices together (0: not known); a CPU is quickest with few at
    once, and gets few where no batch norm learns its statistics. ``score``: outputs ``(n, ...)`` and targets ``(n, ...)`` as NumPy
    to a number, higher is better (None: the loss, turned round). ``order``: an epoch (from 1) to positions within ``train``, some
    twice or not at all if it likes (None: a permutation). ``about``: what else makes the result and cannot be seen from here
    (augmentation, loss, ...), as JSON. ``device``: see `medloop.learning.devices`; for several processes loss, augmentation, order
    and score must be picklable. ``folder``: for checkpoints (None: none); one that has ended stays there and is not trained again,
    until `medloop.learning.checkpoints.clear`. ``deadline``: on ``clock``. ``label``: of the progress line. ``told``: what else is
    told of an epoch once it is over, as JSON (what each of several losses was, how it counted). ``apart``: one tensor comes out of
    the network, and network, loss and augmentation remember nothing from one call to the next, so that threads of one process may
    learn from parts of a batch at the same time.
    """

    net: nn.Module
    loss: Loss
    train: Cases
    plan: Plan
    validation: Cases | None = None
    seed: int = 0
    seen: int = 0
    score: Callable[[Array, Array], float] | None = None
    augment: Augment | None = None
    order: Callable[[int], Integers] | None = None
    about: Json = None
    device: str = "auto"
    folder: Path | None = None
    deadline: float = math.inf
    clock: Callable[[], float] = time.monotonic
    tell: Progress = QUIET
    label: str = "training"
    told: Callable[[], Mapping[str, Json]] | None = None
    apart: bool = False

    def key(self) -> str:
        """A name of everything that makes the result: plan, seed, first weights, cases, targets, and ``about``."""
        state = hashlib.blake2b(digest_size=12)
        state.update(json.dumps([self.plan.to_json(), self.seed, self.about], sort_keys=True).encode())
        for name, tensor in self.net.state_dict().items():
            state.update(name.encode())
            state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        for cases in (self.train, self.validation):
            if cases is not None:
                state.update(str(getattr(cases.images, "key", "")).encode())
                for array in (cases.rows, cases.targets, cases.weights):
                    state.update(b"" if array is None else np.ascontiguousarray(array).tobytes() + str(array.dtype).encode())
        return state.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of it. The lesson's network is left in the CPU with ``state`` loaded, in evaluation mode.

    ``state``: the weights of ``best_epoch`` (averaged where the plan says so; 0: the start, where no epoch ended well).
    ``history``: a row an epoch: ``epoch``, ``loss``, ``validation_loss``, ``score``, ``rate``, ``seconds``, ``images_per_second``.
    ``stopped``: ``done``, ``patience``, ``deadline`` or ``nan``; ``where`` says of the last where it was. ``batch``: images that
    went through the network at once. ``plan``: as executed; the same lesson with it gives the same weights without a deadline.
    """

    state: Mapping[str, Tensor]
    history: Sequence[Mapping[str, Json]]
    best_epoch: int
    stopped: str
    where: str
    plan: Plan
    batch: int
    seconds: float
