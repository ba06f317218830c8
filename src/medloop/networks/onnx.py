"""Networks written as ONNX: data that runs without torch, checked against torch before anybody relies on it."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from medloop.networks import running
from medloop.networks._padding import settle
from medloop.networks.weights import Weights
from medloop.torch_compat import torch
from medloop.types import Array

INPUT = "pixels"
OPSET = 17
TOLERANCE = 1e-4
_SINGLE = 30


def write(module: torch.nn.Module, example: tuple[int, ...], names: Sequence[str]) -> bytes:
    """The module as ONNX, in evaluation mode, for any number of images of one shape; the same module gives the same bytes.

    ``example``: ``(C, Y, X)`` or ``(C, Z, Y, X)`` of one image, uint8. ``names``: of the module's outputs, or, where it gives them
    by name, of those that are wanted. The weights that its backbone began with are told in it, with their licence: see
    `medloop.networks.running.about`.
    """
    still = copy.deepcopy(module).cpu().float().eval()
    for parameter in still.parameters():
        parameter.requires_grad_(False)
    pixels = torch.zeros((2, *example), dtype=torch.uint8)
    stream: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        settle(still, pixels)
        still = _Ordered(still, names) if isinstance(still(pixels), dict) else still
        # torch's exporter by tracing is the one that needs no onnxscript and takes a second; it says it is the older one, that
        # sizes of one image, which do not change here, become constants, and that a GRU needs states of the batch's size (it has).
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size other than 1", category=UserWarning)
        torch.onnx.export(
            still,
            (pixels,),
            stream,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_axes={name: {0: "images"} for name in (INPUT, *names)},
        )
    return _finished(stream.getvalue(), _begun_with(module))


def check(model: bytes, module: torch.nn.Module, batch: Array, tolerance: float = TOLERANCE) -> float:
    """How far ONNX is from torch on real images: the root mean square of each output's differences, in units of its largest value.

    Both round, in another order, and a size or a logit here and there that nobody asks for makes much of it: a single value may be
    `_SINGLE` tolerances off. Raises `RuntimeError` beyond the tolerance: such a model must not be saved.
    """
    was = module.training
    device = next(module.parameters()).device
    module.eval()
    with torch.no_grad():
        answers = module(torch.from_numpy(np.ascontiguousarray(batch)).to(device))
    module.train(was)
    if isinstance(answers, dict):
        answers = [answers[name] for name in running.names(model)]
    expected = [each.float().cpu().numpy() for each in ([answers] if isinstance(answers, torch.Tensor) else answers)]
    told = list(zip(running.run(model, batch), expected, strict=True))
    off = [np.abs(mine - theirs) / np.maximum(np.abs(theirs).max(), 1) for mine, theirs in told]
    usual, largest = (float(np.max([how(each) for each in off])) for how in (_root_mean_square, np.max))
    if not (usual <= tolerance and largest <= _SINGLE * tolerance):
        raise RuntimeError(f"ONNX and torch differ by {usual:.2g}, and {largest:.2g} at most: more than {tolerance:.2g}.")
    return usual


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


class _Ordered(torch.nn.Module):
    """Answers by name, as a row of them."""

    def __init__(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """In the order of the names."""
        found = self.module(pixels)
        return tuple(found[name] for name in self.names)


def _begun_with(module: torch.nn.Module) -> dict[str, str]:
    """Name, digest and licence of pretrained weights inside. Not where they were found: the same weights are the same model."""
    origins: list[Any] = [getattr(part, "origin", None) for part in module.modules()]
    found = [each for each in origins if isinstance(each, Weights)]
    return {f"weights_{key}": value for each in found for key, value in each.to_json().items() if key != "source"}


def _finished(model: bytes, about: dict[str, str]) -> bytes:
    """With what is told about it, and without the places in source files that the exporter notes, which differ between machines."""
    whole = onnx.load_from_string(model)
    for node in whole.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for key in sorted(about):
        whole.metadata_props.add(key=key, value=about[key])
    written: bytes = whole.SerializeToString(deterministic=True)
    return written
