"""Networks run through OpenVINO in bfloat16, on processors that compute in it (AVX-512 BF16, AMX): about twice as fast as float32.

Weights and maps are rounded to eight significant bits, sums are kept in float32, and so is what lies behind the last convolution.
Images go through in calls of one size, the last one filled up, so that an answer does not depend on how many were asked about.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import openvino

from medloop.types import Array

_IMAGES = 16
_PIXELS = 2**18
"""Pixels that go through at once."""


@cache
def suits() -> bool:
    """Whether this processor computes in bfloat16 itself."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Session:
    """A model made ready for images of one shape. Raises whatever OpenVINO raises for what it cannot read."""

    def __init__(self, content: bytes, threads: int) -> None:
        model = _core().read_model(content, b"")
        entry = model.input(0)
        self._type = entry.element_type.to_dtype()
        self._shape = tuple(int(size.get_length()) for size in list(entry.partial_shape)[1:])
        self._names = tuple(each.get_any_name() for each in model.outputs)
        self._step = max(min(_IMAGES, _PIXELS // max(math.prod(self._shape[1:]), 1)), 1)
        model.reshape([self._step, *self._shape])
        ready = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other processes use the cores too
        }
        self._request = _core().compile_model(model, "CPU", ready).create_infer_request()

    @property
    def takes(self) -> str:
        """Type and shape of the images."""
        return f"{self._type}, shape {self._shape}"

    def step_of(self, batch: Array) -> int:
        """How many images go through at once."""
        del batch
        return self._step

    def answers(self, images: Array) -> list[Array]:
        """The outputs for at most `step_of` images. Raises `ValueError` for images of another kind."""
        if images.dtype != self._type or images.shape[1:] != self._shape:
            raise ValueError(self.takes)
        count = len(images)
        if count < self._step:
            images = np.concatenate([images, np.zeros((self._step - count, *self._shape), images.dtype)])
        self._request.infer([images])
        return [np.array(self._request.get_tensor(name).data[:count]) for name in self._names]


@cache
def _core() -> Any:
    return openvino.Core()
