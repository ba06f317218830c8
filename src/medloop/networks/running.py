"""Networks run through ONNX Runtime. No torch here: worker processes import this."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from medloop.errors import InputError
from medloop.types import Array

_KEPT = 4
_IMAGES = 16
_PIXELS = 2**16
"""Pixels that go through at once: so few that the maps stay in the processor's cache. More at once are no faster."""
_QUIET = 3  # errors only
_sessions: OrderedDict[tuple[str, int], Any] = OrderedDict()
_named: deque[tuple[bytes | Array, str]] = deque(maxlen=_KEPT)


def run(model: bytes | Array, batch: Array, threads: int = 1, names: Sequence[str] | None = None) -> list[Array]:
    """The outputs of a model ``(N, ...)``, in its order, for the images ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8.

    ``names``: of the outputs that are wanted, in that order (None: all); what only others need is not computed. Images go through a
    few at a time, so memory does not grow with ``N``. Sessions of the last few models are kept.
    Raises `InputError` where ``model`` is not ONNX or takes other images.
    """
    session = _session(model, threads)
    [entry] = session.get_inputs()
    step = max(min(_IMAGES, _PIXELS // max(math.prod(batch.shape[2:]), 1)), 1)
    starts = range(0, max(len(batch), 1), step)
    parts = [_answers(session, entry, np.ascontiguousarray(batch[at : at + step]), names) for at in starts]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def about(model: bytes | Array) -> dict[str, str]:
    """What is told in a model: ``weights_name``, ``weights_digest``, ``weights_licence`` of the weights it began with."""
    return dict(_session(model, 1).get_modelmeta().custom_metadata_map)


def names(model: bytes | Array) -> tuple[str, ...]:
    """Of the outputs, in their order."""
    return tuple(each.name for each in _session(model, 1).get_outputs())


def _answers(session: Any, entry: Any, images: Array, names: Sequence[str] | None) -> list[Array]:
    try:
        answers: list[Array] = session.run(None if names is None else list(names), {entry.name: images})
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise InputError(
            "wrong-images",
            got=f"The network cannot take images of shape {images.shape[1:]} and kind {images.dtype}.",
            allowed=f"{entry.type}, shape {entry.shape[1:]}.",
            fix="Prepare the images as they were prepared for learning.",
        ) from error
    return answers


def _session(model: bytes | Array, threads: int) -> Any:
    """The session of a model, opened once in each process."""
    key = (_digest(model), threads)
    if key not in _sessions:
        _sessions[key] = _opened(model.tobytes() if isinstance(model, np.ndarray) else model, threads)
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


def _opened(content: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes use the cores too
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise InputError(
            "unreadable-network",
            got=f"The network cannot be read as ONNX ({type(error).__name__}).",
            allowed="A network that medloop wrote.",
            fix="Copy the model's folder again from where it was saved.",
        ) from error
