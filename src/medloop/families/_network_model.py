"""A trained network as data: ONNX to answer with, its weights to learn on from, calibration, decision. Needs no torch.

It answers through ONNX Runtime: on a core with AVX-512 BF16 that took 1.2 ms a picture at 80 pixels and 5.4 ms at 160, torch in
bfloat16 1.9 and 7.5 ms, in float32 4.2 and 13.6 ms (tf_efficientnet_lite0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families._cross import columns
from medloop.families._job import Parts
from medloop.families._on_features import describe
from medloop.families._predicted import predicted
from medloop.features._contract import Part, alive, read
from medloop.features._pixels import bytes_of
from medloop.networks import running
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Json, Prediction, Step, Target, TargetKind

KIND = "network"
FAMILY = "transfer"
ONNX, BACKBONE = "net.onnx", "backbone.safetensors"
_CHUNK_BYTES, _CHUNK_ROWS, _CHUNKS, _FEW_ROWS = 4 * 2**20, 128, 16, 8


@dataclass(frozen=True, slots=True, eq=False)
class NetworkModel:
    """A network with what it needs to answer. All data.

    ``input``: what prepared images it was learnt from (``shape`` ``(C, Z, Y, X)``, ``dtype``, ``colour``, ``binary``). ``network``:
    specs of backbone and classifier, as JSON. ``onnx``: pixels uint8 ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)`` in, raw scores out.
    ``backbone``: its weights, safetensors with its spec. ``arrays``: the weights of the layers behind it. ``mean`` and
    ``deviation``: what turns raw scores back into numbers (0 and 1 for classes).
    """

    target: Target
    preparation: tuple[Step, ...]
    input: Mapping[str, Json]
    network: Mapping[str, Json]
    onnx: bytes
    backbone: bytes
    arrays: Mapping[str, Array]
    calibrator: Calibrator
    decision: Decision
    mean: float = 0.0
    deviation: float = 1.0
    family: str = FAMILY

    def raw(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Floats:
        """``(n, K)`` scores before calibration (numbers: the predicted numbers)."""
        del cache
        self._check(arrays)
        rows = np.arange(len(arrays)) if indices is None else np.asarray(indices, np.int64)
        if len(rows) == 0:
            return np.empty((0, columns(self.target)))
        return scores(self.onnx, arrays, rows, compute or Compute(0), tell) * self.deviation + self.mean

    def predict(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        cases: Sequence[str] = (),
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Prediction:
        """Calibrated answers for prepared images. Without ``cases`` they are named by their number."""
        raw = self.raw(arrays, indices, compute=compute, cache=cache, tell=tell)
        return predicted(self.target, raw, self.calibrator, self.decision, cases)

    def _check(self, arrays: PreparedArrays) -> None:
        got = describe(arrays)
        for name in ("shape", "colour"):
            if got[name] != self.input[name]:
                raise InputError(
                    "other-preparation",
                    got=f"Prepared images of {name} {got[name]}.",
                    allowed=f"{name} {self.input[name]}, as the model was learnt from.",
                    fix="Prepare the images with the model's own preparation.",
                )


MODEL = NetworkModel


@dataclass(frozen=True, slots=True)
class _Job:
    parts: tuple[Part, ...]
    onnx: bytes


def scores(onnx: bytes, arrays: PreparedArrays, rows: Array, compute: Compute, tell: Progress = QUIET) -> Floats:
    """What a network answers for these rows, ``(n, K)`` float64, computed by ONNX Runtime in the worker processes."""
    cuts = list(_cuts(arrays, len(rows)))
    jobs = (_Job(tuple(arrays.locate(rows[cut])), onnx) for cut in cuts)
    found = compute.map(_scores, jobs, label="network", total=len(cuts), tell=tell)
    return np.concatenate([alive(each, "network") for each in found], dtype=np.float64)


def as_input(pixels: Array) -> Array:
    """Prepared images ``(N, C, Z, Y, X)`` as a network takes them: uint8, flat pictures ``(N, C, Y, X)``."""
    made = bytes_of(pixels)
    return made[:, :, 0] if made.shape[2] == 1 else made


def _scores(job: _Job) -> Floats:
    """In a worker."""
    return np.asarray(running.run(job.onnx, as_input(read(job.parts)))[0], np.float64)


def _cuts(arrays: PreparedArrays, count: int) -> Iterator[slice]:
    """Slices of so few rows that their pixels stay small, and that there is work for several processes."""
    row = int(np.prod(arrays.shape)) * np.dtype(arrays.dtype).itemsize
    size = int(np.clip(_CHUNK_BYTES // max(row, 1), 1, _CHUNK_ROWS))
    size = min(size, max(_FEW_ROWS, -(-count // _CHUNKS)))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def to_parts(model: NetworkModel) -> Parts:
    """The model as it lies on disk."""
    content = {
        "kind": KIND,
        "target": {
            "kind": str(model.target.kind),
            "classes": list(model.target.classes),
            "name": model.target.name,
            "unit": model.target.unit,
        },
        "preparation": [{"name": step.name, "params": dict(step.params)} for step in model.preparation],
        "input": dict(model.input),
        "network": dict(model.network),
        "calibration": model.calibrator.to_json(),
        "decision": model.decision.to_json(),
        "mean": model.mean,
        "deviation": model.deviation,
    }
    return Parts(content, model.arrays, {ONNX: model.onnx, BACKBONE: model.backbone})


def from_parts(parts: Parts) -> NetworkModel:
    """The model that `to_parts` took apart."""
    said = parts.json
    target = said["target"]
    return NetworkModel(
        Target(TargetKind(target["kind"]), tuple(target["classes"]), target["name"], target["unit"]),
        tuple(Step(step["name"], step["params"]) for step in said["preparation"]),
        said["input"],
        said["network"],
        parts.files[ONNX],
        parts.files[BACKBONE],
        dict(parts.arrays),
        Calibrator.from_json(said["calibration"]),
        Decision.from_json(said["decision"]),
        float(said["mean"]),
        float(said["deviation"]),
    )
