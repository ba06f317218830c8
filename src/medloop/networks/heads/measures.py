"""Measures told straight from the image, where only they are labelled: sizes, shapes, anything that is a number.

They are learnt in units of their spread over the training cases, with Huber's loss, which a few wild values do not lead astray.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.networks import losses
from medloop.torch_compat import torch
from medloop.types import Array, Floats, Json

_DELTA = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of M measures over the cases of which they are known."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @staticmethod
    def learn(numbers: Floats) -> Scale:
        """From ``(N, M)``, NaN where unknown. What is never known, or always the same, has the deviation 1."""
        known = np.isfinite(numbers)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers, 0.0).sum(axis=0) / count
        deviation = np.sqrt(np.where(known, (numbers - mean) ** 2, 0.0).sum(axis=0) / count)
        deviation = np.where(deviation > 0, deviation, 1.0)
        return Scale(tuple(mean.tolist()), tuple(deviation.tolist()))

    def to(self, numbers: Floats) -> Floats:
        """Measures to what the network learns, ``(N, M)`` float32."""
        return np.asarray((numbers - np.array(self.mean)) / np.array(self.deviation), np.float32)

    def back(self, outputs: Array) -> Floats:
        """What the network says to measures, ``(N, M)`` float64."""
        return np.asarray(np.asarray(outputs, np.float64) * np.array(self.deviation) + np.array(self.mean))

    def to_json(self) -> Json:
        """Plain JSON."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}

    @staticmethod
    def from_json(saved: Json) -> Scale:
        """Back from `to_json`."""
        return Scale(tuple(saved["mean"]), tuple(saved["deviation"]))


def loss(outputs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over the known numbers. Both ``(N, M)``, the truth scaled and NaN where unknown, which costs nothing."""
    return losses.of_numbers(outputs, truth, None, delta=_DELTA)


def known(truth: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool: cases of which any number is known."""
    return torch.isfinite(truth).any(dim=1)
