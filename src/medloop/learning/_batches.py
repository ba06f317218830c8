"""Batches on their way to the network: read ahead by a thread, two of them in memory at any time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medloop.learning.lesson import Cases

_FLAT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One process's part of a batch, or a part of that.

    ``epoch`` from 1, ``step`` from 0. ``first``: place of the first case in the epoch's order. ``share``: how much of the mean over
    the whole batch its own mean is, times the number of processes. ``positions``: ``(n,)`` in the cases. ``inputs``: ``(n, ...)``.
    """

    epoch: int
    step: int
    first: int
    share: float
    positions: NDArray[np.int64]
    inputs: Tensor

    def parts(self, parts: int) -> Iterator[Batch]:
        """The same in so many even parts."""
        count = len(self.positions)
        for a, b in itertools.pairwise(evenly(count, parts)):
            share = self.share * (b - a) / count
            yield Batch(self.epoch, self.step, self.first + a, share, self.positions[a:b], self.inputs[a:b])


def batches(cases: Cases, order: NDArray[np.int64], epoch: int, steps: int, rank: int, processes: int) -> Iterator[Batch]:
    """An epoch in so many steps of even size; the next batch is read while the caller works on this one."""
    spans = []
    for a, b in itertools.pairwise(evenly(len(order), steps)):
        start, end = a + (b - a) * rank // processes, a + (b - a) * (rank + 1) // processes
        spans.append((start, end, processes * (end - start) / (b - a)))
    with ThreadPoolExecutor(1, "read") as thread:
        coming = thread.submit(inputs, cases, order[slice(*spans[0][:2])])
        for step, (start, end, share) in enumerate(spans):
            found = coming.result()
            if step + 1 < steps:
                coming = thread.submit(inputs, cases, order[slice(*spans[step + 1][:2])])
            yield Batch(epoch, step, start, share, order[start:end], found)


def inputs(cases: Cases, positions: NDArray[np.int64] | slice) -> Tensor:
    """Inputs of the cases at these positions; volumes of one slice are pictures ``(n, C, Y, X)``."""
    # A copy, for sums over numbers that lie where NumPy has put them can differ in the last bit from one time to the next.
    found = torch.from_numpy(np.ascontiguousarray(cases.images.take(cases.rows[positions]))).clone()
    return found[:, :, 0] if found.ndim == 5 and found.shape[2] == 1 else found


def evenly(count: int, parts: int) -> list[int]:
    """Where to cut ``count`` things into parts whose sizes differ by one at most."""
    return [count * part // parts for part in range(parts + 1)]


def laid_out(pixels: Tensor) -> Tensor:
    """Channels last, where there are channels: convolutions are quicker."""
    return pixels.contiguous(memory_format=torch.channels_last) if pixels.ndim == 4 else pixels


def weights_laid_out(net: Any) -> Any:
    """The same network, the weights of its flat convolutions as `laid_out` lays pixels out."""
    for each in (*net.parameters(), *net.buffers()):
        if each.dim() == _FLAT:
            each.data = each.data.contiguous(memory_format=torch.channels_last)
    return net
