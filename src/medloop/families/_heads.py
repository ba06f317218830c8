"""A head: some features, put on one scale, then an estimator. As data (`Spec`) and as learnt (`Head`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from medloop.families import _estimators
from medloop.families._estimators import Task
from medloop.families._scorers import Growing, Kernel, Linear, Scorer, Trees
from medloop.families._tables import BLOCK, Ready, blocks, take
from medloop.types import Array, Floats, Integers, Json, Target, TargetKind

LIMIT = 8.0
"""Standard deviations at which a feature is cut off: one strange picture must not decide."""
_SAMPLE = 6000


@dataclass(frozen=True, slots=True)
class Spec:
    """A head as data. ``features``: positions in the recipe's list. ``even``: each feature counts the same, however many numbers it
    has; where a feature's columns have names, each named block. ``components``: principal components kept (0: no such step).
    ``params``: the estimator's. ``blocks``: names of the columns that are read (empty: all)."""

    features: tuple[int, ...]
    estimator: str
    params: Mapping[str, Json] = field(default_factory=dict)
    even: bool = False
    components: int = 0
    blocks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain JSON; without ``blocks`` where all are read."""
        told = asdict(self) | {"features": list(self.features), "params": dict(self.params), "blocks": list(self.blocks)}
        return told if self.blocks else {key: value for key, value in told.items() if key != "blocks"}

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Spec:
        """The spec that `to_json` wrote."""
        given = dict(content)
        return Spec(
            tuple(int(each) for each in given["features"]),
            str(given["estimator"]),
            dict(given.get("params", {})),
            bool(given.get("even", False)),
            int(given.get("components", 0)),
            tuple(str(each) for each in given.get("blocks", ())),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """``clip((x - mean) * inverse, -8, 8) * weight``, then ``(z - centre) @ basis`` where there is a basis, all float32.

    Over the training cases the rows have a mean squared length of 1, so that an estimator's parameters mean the same for few and
    many features.
    """

    mean: Floats
    inverse: Floats
    weight: Floats
    centre: Floats | None = None
    basis: Floats | None = None

    def __call__(self, rows: Floats) -> Floats:
        """``(n, D)`` to ``(n, D)`` or ``(n, components)`` float32."""
        z = rows.astype(np.float32) - self.mean
        z *= self.inverse
        np.clip(z, -LIMIT, LIMIT, out=z)
        z *= self.weight
        return z if self.basis is None or self.centre is None else np.asarray((z - self.centre) @ self.basis, np.float32)

    @property
    def width(self) -> int:
        """Columns that come out."""
        return len(self.mean) if self.basis is None else self.basis.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A head learnt. ``unit``: its raw scores are divided by this before heads are averaged."""

    spec: Spec
    scale: Scale
    scorer: Scorer
    unit: float = 1.0

    def raw(self, tables: Ready, rows: Integers) -> Floats:
        """``(n, K)`` raw scores of rows of the tables."""
        return np.concatenate([self.scorer.raw(self.scale(_read(self.spec, tables, part))) for part in blocks(rows)])

    def finished(self, tables: Ready, rows: Integers, unit: float) -> Head:
        """As it can be saved: trees become ONNX, checked against scikit-learn on these rows."""
        scorer = self.scorer
        if isinstance(scorer, Growing):
            scorer = scorer.finished(self.scale(_read(self.spec, tables, rows[:BLOCK])))
        return replace(self, scorer=scorer, unit=unit)


def learn(spec: Spec, tables: Ready, rows: Integers, values: Array, target: Target, seed: int, threads: int = 1) -> Head:
    """Learn a head from rows of the tables and their values as in `types.Dataset` (numbers: standardised)."""
    scale = _scale(spec, tables, rows, seed)
    z = np.empty((len(rows), scale.width), np.float32)
    for start, part in zip(range(0, len(rows), BLOCK), blocks(rows), strict=True):
        z[start : start + BLOCK] = scale(_read(spec, tables, part))
    task = Task(spec.params, target.kind, z, values, max(1, len(target.classes)), seed, threads)
    return Head(spec, scale, _estimators.fit(spec.estimator, task))


def _read(spec: Spec, tables: Ready, rows: Integers) -> Floats:
    return take(tables, spec.features, rows, spec.blocks)


def _scale(spec: Spec, tables: Ready, rows: Integers, seed: int) -> Scale:
    mean, deviation = _moments(spec, tables, rows)
    live = deviation > 1e-6 * np.maximum(1e-6, np.abs(mean))
    inverse = np.where(live, 1 / np.where(live, deviation, 1.0), 0.0)
    sizes = [size for each in spec.features for size in tables[each].widths(spec.blocks)]
    weight = np.concatenate([np.full(size, 1 / math.sqrt(size) if spec.even else 1.0) for size in sizes])
    bare = Scale(*(each.astype(np.float32) for each in (mean, inverse, weight)))
    few = rows if len(rows) <= _SAMPLE else np.sort(np.random.default_rng(seed).permutation(rows)[:_SAMPLE])
    z = bare(_read(spec, tables, few))
    if 0 < spec.components < min(z.shape):
        pca = PCA(spec.components, svd_solver="randomized", iterated_power=4, random_state=seed).fit(z)
        centre, basis = pca.mean_.astype(np.float32), np.ascontiguousarray(pca.components_.T, np.float32)
        bare, z = replace(bare, centre=centre, basis=basis), (z - centre) @ basis
    length = math.sqrt(float(np.mean(np.einsum("nd,nd->n", z, z, dtype=np.float64)))) or 1.0
    if bare.basis is None:
        return replace(bare, weight=bare.weight / np.float32(length))
    return replace(bare, basis=bare.basis / np.float32(length))


def _moments(spec: Spec, tables: Ready, rows: Integers) -> tuple[Floats, Floats]:
    """Mean and deviation of each feature, read in blocks, in float64."""
    mean = sum(_read(spec, tables, part).sum(axis=0, dtype=np.float64) for part in blocks(rows)) / len(rows)
    parts = (_read(spec, tables, part) - mean for part in blocks(rows))
    squares = sum(np.einsum("nd,nd->d", part, part) for part in parts)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / len(rows))


def head_parts(head: Head, name: str) -> tuple[dict[str, Json], dict[str, Array], dict[str, bytes]]:
    """A finished head as JSON, arrays and files, their names beginning with ``name``."""
    scale, scorer = head.scale, head.scorer
    about: dict[str, Json] = {"spec": head.spec.to_json(), "unit": head.unit}
    arrays: dict[str, Array] = {"mean": scale.mean, "inverse": scale.inverse, "weight": scale.weight}
    files: dict[str, bytes] = {}
    if scale.basis is not None and scale.centre is not None:
        arrays |= {"centre": scale.centre, "basis": scale.basis}
    if isinstance(scorer, Linear):
        about["scorer"] = {"kind": "linear"}
        arrays |= {"weights": scorer.weights, "bias": scorer.bias}
    elif isinstance(scorer, Kernel):
        about["scorer"] = {"kind": "kernel", "gamma": scorer.gamma}
        arrays |= {"vectors": scorer.vectors, "dual": scorer.dual, "bias": scorer.bias}
    elif isinstance(scorer, Trees):
        files = {f"{name}-{number}.onnx": content for number, content in enumerate(scorer.files)}
        about["scorer"] = {"kind": "trees", "files": list(files), "shares": scorer.shares, "floor": scorer.floor}
    else:
        raise TypeError(f"a head with {type(scorer).__name__} is not finished")
    return about, {f"{name}.{key}": array for key, array in arrays.items()}, files


def head_from(about: Mapping[str, Any], name: str, arrays: Mapping[str, Array], files: Mapping[str, bytes]) -> Head:
    """The head that `head_parts` took apart."""
    own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    said = about["scorer"]
    scorer: Scorer
    if said["kind"] == "linear":
        scorer = Linear(own["weights"], own["bias"])
    elif said["kind"] == "kernel":
        scorer = Kernel(own["vectors"], own["dual"], own["bias"], float(said["gamma"]))
    else:
        scorer = Trees(tuple(files[each] for each in said["files"]), bool(said["shares"]), float(said["floor"]))
    scale = Scale(own["mean"], own["inverse"], own["weight"], own.get("centre"), own.get("basis"))
    return Head(Spec.from_json(about["spec"]), scale, scorer, float(about["unit"]))


def standardised(target: Target, values: Array) -> tuple[Array, float, float]:
    """Values as estimators learn them, with the mean and deviation taken out of numbers (0 and 1 for classes)."""
    if target.kind is not TargetKind.NUMBER:
        return values, 0.0, 1.0
    mean, deviation = float(np.mean(values)), float(np.std(values)) or 1.0
    return (np.asarray(values, np.float64) - mean) / deviation, mean, deviation
