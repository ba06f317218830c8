"""Networks run without torch, which worker processes need not import.

Through ONNX Runtime in float32. Where an answer may be rounded, the processor computes in bfloat16 and OpenVINO is installed,
through that (`medloop.networks._brisk`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime

from medloop import registry
from medloop.errors import InputError
from medloop.types import Array

_KEPT = 4
_IMAGES = 16
_PIXELS = 2**16
"""Pixels that go through at once: so few that the maps stay in the processor's cache. More at once are no faster."""
_QUIET = 3  # errors only
_sessions: OrderedDict[tuple[str, int, str, tuple[str, ...] | None], Any] = OrderedDict()
_named: deque[tuple[bytes | Array, str]] = deque(maxlen=_KEPT)


@cache
def precision() -> str:
    """``bfloat16`` or ``float32``: what networks are run in on this machine where their answers may be rounded."""
    return "bfloat16" if importlib.util.find_spec("openvino") and registry.part("networks", "_brisk").suits() else "float32"


def run(
    model: bytes | Array, batch: Array, threads: int = 1, names: Sequence[str] | None = None, *, rounded: bool = False
) -> list[Array]:
    """The outputs of a model ``(N, ...)``, in its order, for the images ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8.

    ``names``: of the outputs that are wanted, in that order (None: all); what only others need is not computed. ``rounded``:
    in `precision`, about twice as fast: for maps whose means are taken, not for the last layer's answers, which would come in steps
    of a hundredth. Images go through a few at a time, so memory does not grow with ``N``. Sessions of the last few models are kept.
    Raises `InputError` where ``model`` is not ONNX or takes other images.
    """
    session = _session(model, threads, precision() if rounded else "float32", None if names is None else tuple(names))
    starts = range(0, max(len(batch), 1), step := session.step_of(batch))
    parts = [_answers(session, np.ascontiguousarray(batch[at : at + step])) for at in starts]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def about(model: bytes | Array) -> dict[str, str]:
    """What is told in a model: ``weights_name``, ``weights_digest``, ``weights_licence`` of the weights it began with."""
    return dict(_session(model, 1, "float32").inside.get_modelmeta().custom_metadata_map)


def names(model: bytes | Array) -> tuple[str, ...]:
    """Of the outputs, in their order."""
    return tuple(each.name for each in _session(model, 1, "float32").inside.get_outputs())


class _Exact:
    """A session of ONNX Runtime, in float32."""

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes use the cores too
        self.inside: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        [self._entry] = self.inside.get_inputs()
        self.takes = f"{self._entry.type}, shape {self._entry.shape[1:]}"

    def step_of(self, batch: Array) -> int:
        """How many images go through at once."""
        return max(min(_IMAGES, _PIXELS // max(math.prod(batch.shape[2:]), 1)), 1)

    def answers(self, images: Array) -> list[Array]:
        """The outputs."""
        found: list[Array] = self.inside.run(None, {self._entry.name: images})
        return found


def _answers(session: Any, images: Array) -> list[Array]:
    try:
        answers: list[Array] = session.answers(images)
    except Exception as error:  # the errors of the two libraries have no common base but this
        raise InputError(
            "wrong-images",
            got=f"The network cannot take images of shape {images.shape[1:]} and kind {images.dtype}.",
            allowed=f"{session.takes}.",
            fix="Prepare the images as they were prepared for learning.",
        ) from error
    return answers


def _session(model: bytes | Array, threads: int, precision: str, names: tuple[str, ...] | None = None) -> Any:
    """The session of a model, or of as much of it as leads to these outputs, opened once in each process."""
    key = (_digest(model), threads, precision, names)
    if key not in _sessions:
        content = model.tobytes() if isinstance(model, np.ndarray) else model
        _sessions[key] = _opened(content, threads, precision, names)
        while len(_sessions) > _KEPT:
            _sessions.popitem(last=False)
    _sessions.move_to_end(key)
    return _sessions[key]


def _digest(model: bytes | Array) -> str:
    """A hash of the content. What cannot change is hashed once for as long as it is among the last few."""
    known = next((digest for each, digest in _named if each is model), None)
    if known is None:
        content = np.ascontiguousarray(model).data if isinstance(model, np.ndarray) else model
        known = hashlib.blake2b(content, digest_size=16).hexdigest()
        if isinstance(model, bytes) or not model.flags.writeable:
            _named.append((model, known))
    return known


def _opened(content: bytes, threads: int, precision: str, names: tuple[str, ...] | None) -> Any:
    try:
        content = content if names is None else registry.part("networks", "_cut").only(content, names)
        return _Exact(content, threads) if precision == "float32" else registry.part("networks", "_brisk").Session(content, threads)
    except Exception as error:  # as above
        raise InputError(
            "unreadable-network",
            got=f"The network cannot be read as ONNX ({type(error).__name__}).",
            allowed="A network that medloop wrote.",
            fix="Copy the model's folder again from where it was saved.",
        ) from error
