"""A network of several targets as data: ONNX to answer with, its weights to learn on from, what was learnt on out-of-fold answers.

It needs no torch. Images larger than its patch are seen through windows; answers are turned back into voxels as read in the worker
processes, one case after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families._cross import columns
from medloop.families._finding import Finder, findings
from medloop.families._job import Parts
from medloop.families._on_features import describe
from medloop.families._predicted import named, predicted
from medloop.families._windows import Patch, chunks, through
from medloop.features._contract import Part, alive, read
from medloop.features._pixels import bytes_of
from medloop.networks import running
from medloop.prepared.arrays import PreparedArrays
from medloop.prepared.geometry import Geometry
from medloop.progress import QUIET, Progress
from medloop.targets import reconstruction
from medloop.targets.rules import Rules
from medloop.types import Array, Findings, Floats, Json, Prediction, Step, Target, TargetKind

KIND = "multitask"
FAMILY = "multitask"
ONNX, BACKBONE = "net.onnx", "backbone.safetensors"
_OF_CASE = ("classes", "embedding")
_CHUNK_BYTES, _CHUNK_ROWS, _CHUNKS, _FEW_ROWS = 4 * 2**20, 32, 16, 4


@dataclass(frozen=True, slots=True, eq=False)
class MultitaskModel:
    """A network with what it needs to answer. All data.

    ``target``: what it is foremost about; where ``classes`` is False that is a structured target, and `predict` says nothing.
    ``further``: the structured targets. ``input``, ``mean``, ``deviation``: as in `NetworkModel`. ``network``: specs of backbone
    and net, as JSON. ``onnx``: pixels uint8 in, ``names`` out (see `medloop.networks.seen`). ``arrays``: all weights but the
    backbone's. ``patch``: what goes through at once. ``finder``: how answers become findings. ``names`` may have ``image``, what is
    made up of an image: it is asked with parts of it hidden, and its errors are what is told.
    """

    target: Target
    classes: bool
    further: tuple[Target, ...]
    preparation: tuple[Step, ...]
    input: Mapping[str, Json]
    network: Mapping[str, Json]
    onnx: bytes
    backbone: bytes
    arrays: Mapping[str, Array]
    names: tuple[str, ...]
    patch: Patch
    finder: Finder
    calibrator: Calibrator
    decision: Decision
    mean: float = 0.0
    deviation: float = 1.0
    family: str = FAMILY

    @property
    def solid(self) -> bool:
        """Whether its network sees volumes as volumes: none can begin with it."""
        return "filters" in self.network["backbone"]

    @property
    def rules(self) -> Rules | None:
        """What its answers are held against."""
        return self.finder.rules

    def raw(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Floats:
        """``(n, K)`` scores before calibration (numbers: the predicted numbers); K is 0 where no classes are learnt."""
        del cache
        rows = self._rows(arrays, indices)
        if len(rows) == 0 or not self.classes:
            return np.empty((len(rows), columns(self.target) if self.classes else 0))
        return self._said("classes", arrays, rows, compute, tell) * self.deviation + self.mean

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
        """Calibrated answers for prepared images, without columns where no classes are learnt.

        Without ``cases`` they are named by their number.
        """
        return self.answered(self.raw(arrays, indices, compute=compute, cache=cache, tell=tell), cases)

    def answered(self, raw: Floats, cases: Sequence[str] = ()) -> Prediction:
        """Calibrated answers from scores ``(n, K)`` as `raw` or `find` gave them."""
        if self.classes:
            return predicted(self.target, raw, self.calibrator, self.decision, cases)
        return Prediction(named(cases, len(raw)), raw, ("",) * len(raw), np.full(len(raw), np.nan), np.zeros(len(raw), bool))

    def find(
        self,
        arrays: PreparedArrays,
        geometry: Geometry | None,
        indices: Array | None = None,
        *,
        cases: Sequence[str] = (),
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Iterator[Findings]:
        """What is found in prepared images, in their order and in voxels as read; without ``geometry`` in prepared voxels.

        With what is said of their classes, for a second look would cost as much.
        """
        del cache
        rows = self._rows(arrays, indices)
        names = named(cases, len(rows))
        cuts = list(_cuts(arrays, len(rows)))
        asked = (name for name in self.names if name not in _OF_CASE or (name == "classes" and self.classes))
        answering = self._answering(*asked)
        jobs = (
            _Job(
                tuple(arrays.locate(rows[cut])),
                answering,
                self.finder,
                names[cut],
                None if geometry is None else geometry.select(rows[cut]),
            )
            for cut in cuts
        )
        for found in (compute or Compute(0)).map(_found, jobs, label="network", total=len(cuts), tell=tell):
            for each in alive(found, "network"):
                yield each if each.raw is None else replace(each, raw=each.raw * self.deviation + self.mean)

    def similar(
        self, arrays: PreparedArrays, indices: Array | None = None, *, compute: Compute | None = None, tell: Progress = QUIET
    ) -> Floats:
        """``(n, E)``: places of length 1 in which cases of one class lie together; E is 0 where that was not learnt."""
        rows = self._rows(arrays, indices)
        if "embedding" not in self.names or len(rows) == 0:
            return np.empty((len(rows), 0))
        return self._said("embedding", arrays, rows, compute, tell)

    def _said(self, name: str, arrays: PreparedArrays, rows: Array, compute: Compute | None, tell: Progress) -> Floats:
        """One of the network's answers for these rows, ``(n, K)`` float64."""
        cuts = list(_cuts(arrays, len(rows)))
        jobs = (_Job(tuple(arrays.locate(rows[cut])), self._answering(name)) for cut in cuts)
        found = (compute or Compute(0)).map(_raw, jobs, label="network", total=len(cuts), tell=tell)
        return np.concatenate([alive(each, "network") for each in found], dtype=np.float64)

    def _answering(self, *wanted: str) -> _Answering:
        return _Answering(self.onnx, wanted, self.patch, int(self.network["net"]["stride"]))

    def _rows(self, arrays: PreparedArrays, indices: Array | None) -> Array:
        got = describe(arrays)
        for name in ("shape", "colour"):
            if got[name] != self.input[name]:
                raise InputError(
                    "other-preparation",
                    got=f"Prepared images of {name} {got[name]}.",
                    allowed=f"{name} {self.input[name]}, as the model was learnt from.",
                    fix="Prepare the images with the model's own preparation.",
                )
        return np.arange(len(arrays)) if indices is None else np.asarray(indices, np.int64)


MODEL = MultitaskModel


@dataclass(frozen=True, slots=True)
class _Answering:
    """A network, and what of its answers is wanted."""

    onnx: bytes
    wanted: tuple[str, ...]
    patch: Patch
    stride: int

    def __call__(self, images: Array) -> Mapping[str, Array]:
        """Prepared images ``(n, C, Z, Y, X)`` to answers."""
        return through(self._run, bytes_of(images), self.patch, self.stride)

    def _run(self, pixels: Array) -> Mapping[str, Array]:
        plain = tuple(name for name in self.wanted if name != "image")
        said = dict(zip(plain, running.run(self.onnx, pixels, names=plain), strict=True)) if plain else {}
        return said | ({"errors": reconstruction.errors(self._made_up, pixels)} if "image" in self.wanted else {})

    def _made_up(self, pixels: Array) -> Floats:
        [found] = running.run(self.onnx, pixels, names=("image",))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    parts: tuple[Part, ...]
    answering: _Answering
    finder: Finder | None = None
    cases: tuple[str, ...] = ()
    geometry: Geometry | None = None


def _raw(job: _Job) -> Floats:
    """In a worker: the only answer that is wanted, ``(n, K)``."""
    said = job.answering(read(job.parts))
    return np.asarray(said[job.answering.wanted[0]], np.float64)


def _found(job: _Job) -> list[Findings]:
    """In a worker."""
    if job.finder is None:
        raise ValueError("nobody says how answers become findings")
    images = read(job.parts)
    said = job.answering(images)
    found = []
    for at, case in enumerate(job.cases):
        own = {name: each[at] for name, each in said.items()}
        each = findings(job.finder, case, own, images.shape[2:], job.geometry, at)
        found.append(replace(each, raw=np.asarray(own["classes"], np.float64)) if "classes" in own else each)
    return found


def _cuts(arrays: PreparedArrays, count: int) -> Iterator[slice]:
    """Slices of so few rows that their pixels and answers stay small, and that there is work for several processes."""
    row = int(np.prod(arrays.shape)) * np.dtype(arrays.dtype).itemsize
    size = int(np.clip(_CHUNK_BYTES // max(row, 1), 1, _CHUNK_ROWS))
    return chunks(count, min(size, max(_FEW_ROWS, -(-count // _CHUNKS))))


def to_parts(model: MultitaskModel) -> Parts:
    """The model as it lies on disk."""
    content = {
        "kind": KIND,
        "target": _said(model.target),
        "classes": model.classes,
        "further": [_said(each) for each in model.further],
        "preparation": [{"name": step.name, "params": dict(step.params)} for step in model.preparation],
        "input": dict(model.input),
        "network": dict(model.network),
        "names": list(model.names),
        "patch": list(model.patch),
        "finder": model.finder.to_json(),
        "calibration": model.calibrator.to_json(),
        "decision": model.decision.to_json(),
        "mean": model.mean,
        "deviation": model.deviation,
    }
    return Parts(content, model.arrays, {ONNX: model.onnx, BACKBONE: model.backbone})


def from_parts(parts: Parts) -> MultitaskModel:
    """The model that `to_parts` took apart."""
    said = parts.json
    further = tuple(map(_target, said["further"]))
    z, y, x = said["patch"]
    return MultitaskModel(
        _target(said["target"]),
        bool(said["classes"]),
        further,
        tuple(Step(step["name"], step["params"]) for step in said["preparation"]),
        said["input"],
        said["network"],
        parts.files[ONNX],
        parts.files[BACKBONE],
        dict(parts.arrays),
        tuple(said["names"]),
        (int(z), int(y), int(x)),
        Finder.from_json(said["finder"], further),
        Calibrator.from_json(said["calibration"]),
        Decision.from_json(said["decision"]),
        float(said["mean"]),
        float(said["deviation"]),
    )


def _said(target: Target) -> dict[str, Json]:
    return {
        "kind": str(target.kind),
        "classes": list(target.classes),
        "name": target.name,
        "unit": target.unit,
        "units": list(target.units),
    }


def _target(said: Mapping[str, Json]) -> Target:
    return Target(TargetKind(said["kind"]), tuple(said["classes"]), said["name"], said["unit"], tuple(said["units"]))
