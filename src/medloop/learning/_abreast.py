"""Parts of a batch that go through the network abreast, each in a thread of its own.

On few cores that is quicker than all cores at one part: an EfficientNet's layers are too thin to be shared out, and one core often
waits for the other. Gradients are added up in the order of the parts and each part draws from a generator of its own, so the result
is the same to the last bit however the threads happen to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

P = TypeVar("P")
Gradients: TypeAlias = Sequence[Tensor | None]
"""Of every parameter that is trained; None where it had no say."""

ABREAST = 2
"""Parts at any time. Not as many as there are cores: what is drawn for a part depends on how a batch is cut."""
LEAST = 2
"""Images of a part: a mixture needs two, and so does a batch norm."""


class Abreast:
    """Threads, each with its share of the cores. Make it with `abreast`."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def gradients(self, trained: Sequence[nn.Parameter], parts: Iterable[P], loss: Callable[[P], Tensor]) -> Tensor | None:
        """Set the gradients of all parts' losses, and give the sum of these.

        None, and no gradients, where a part has drawn from the global generator: then it matters which thread came first. Raises
        what ``loss`` raises, once no thread works any more.
        """
        before = torch.get_rng_state()
        found = [self._pool.submit(_one, trained, part, loss) for part in parts]
        try:
            total = _added(trained, found)
        finally:
            wait(found)
        if torch.equal(before, torch.get_rng_state()):
            return total
        for each in trained:
            each.grad = None
        return None


@contextmanager
def abreast(wanted: bool) -> Iterator[Abreast | None]:
    """Threads for as long as this lasts; None where none are wanted."""
    if not wanted:
        yield None
        return
    cores = torch.get_num_threads()
    workers = min(cores, ABREAST)
    try:
        with ThreadPoolExecutor(workers, "part", initializer=torch.set_num_threads, initargs=(cores // workers,)) as pool:
            yield Abreast(pool)
    finally:
        torch.set_num_threads(cores)  # a thread sets it for those that come after it, too


def cut(count: int, at_once: int) -> int:
    """Into how many parts ``count`` images are cut, so that about ``at_once`` at most are on their way at any time."""
    return max(1, min(count // LEAST, ABREAST * math.ceil(count / at_once)))


def _one(trained: Sequence[nn.Parameter], part: P, loss: Callable[[P], Tensor]) -> tuple[Tensor, Gradients]:
    found = loss(part)
    return found.detach(), torch.autograd.grad(found, trained, allow_unused=True)


def _added(trained: Sequence[nn.Parameter], found: Sequence[Future[tuple[Tensor, Gradients]]]) -> Tensor:
    """The gradients to where an optimiser looks for them, part after part; the sum of the losses."""
    total = torch.zeros(())
    for each in found:
        loss, gradients = each.result()
        total += loss
        for parameter, gradient in zip(trained, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)  # laid out as fused optimisers want it
            parameter.grad += gradient
    return total


class Draws(TorchFunctionMode):
    """While this lasts, dropout and stochastic depth of this thread draw from its own generator, seeded with ``seed``."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every other function is left as it is."""
        if function is nn.functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        if function is Tensor.bernoulli_:  # what timm's DropPath calls
            return function(*args, **({"generator": self._generator} | dict(kwargs or {})))
        return function(*args, **(kwargs or {}))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p in (0.0, 1.0):
            return nn.functional.dropout(input, p, training, inplace)
        kept = torch.empty_like(input).bernoulli_(1 - p, generator=self._generator) / (1 - p)
        return input.mul_(kept) if inplace else input * kept
