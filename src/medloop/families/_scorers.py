"""What a fitted estimator is once learning is over: arrays or ONNX that turn ``(n, D)`` features into raw scores ``(n, K)``.

Raw scores: one column for binary targets (of the second class) and numbers, one a class otherwise; higher is more likely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnxruntime

from medloop.families import _trees
from medloop.types import Array, Floats

_BLOCK = 2048
ONNX_TOLERANCE = 1e-4
"""How far a raw score of the ONNX file may be from scikit-learn's, for each unit of the largest score."""


class Scorer(Protocol):
    """Anything that scores features."""

    def raw(self, features: Floats) -> Floats:
        """``(n, D)`` float32 to ``(n, K)`` float64."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """``features @ weights + bias``; ``weights`` ``(D, K)``, ``bias`` ``(K,)``, float64."""

    weights: Floats
    bias: Floats

    def raw(self, features: Floats) -> Floats:
        """``(n, K)``."""
        return np.asarray(features.astype(np.float64) @ self.weights + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """``exp(-gamma |x - vector|^2) @ dual + bias``; ``vectors`` ``(m, D)`` float32, ``dual`` ``(m, K)``, ``bias`` ``(K,)``."""

    vectors: Floats
    dual: Floats
    bias: Floats
    gamma: float

    def raw(self, features: Floats) -> Floats:
        """``(n, K)``."""
        parts = [
            rbf(features[start : start + _BLOCK], self.vectors, self.gamma) @ self.dual for start in range(0, len(features), _BLOCK)
        ]
        return np.concatenate([np.empty((0, len(self.bias))), *parts]) + self.bias


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """ONNX files whose columns stand side by side. ``shares``: they answer shares of votes, made log-odds (one column a file)
    or logarithms (several columns) after a clip at ``floor``."""

    files: tuple[bytes, ...]
    shares: bool
    floor: float
    sessions: list[onnxruntime.InferenceSession] = field(default_factory=list, repr=False)

    def raw(self, features: Floats) -> Floats:
        """``(n, K)``."""
        if not self.sessions:
            self.sessions.extend(_trees.session(each) for each in self.files)
        found = [_trees.run(live, features) for live in self.sessions]
        return np.concatenate([log_scores(each, self.floor) for each in found] if self.shares else found, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Growing:
    """Trees while they are scikit-learn's: the same answers as `Trees` without writing ONNX. ``models`` hold a number where
    there was nothing to learn (every known label the same), which is their constant answer."""

    models: tuple[Any, ...]
    shares: bool
    floor: float
    width: int

    def raw(self, features: Floats) -> Floats:
        """``(n, K)``."""
        found = [self._answer(model, features) for model in self.models]
        return np.concatenate([log_scores(each, self.floor) for each in found] if self.shares else found, axis=1)

    def finished(self, features: Floats) -> Trees:
        """As ONNX, checked on ``features``. Raises `RuntimeError` where ONNX and scikit-learn differ (a defect)."""
        trees = Trees(tuple(self._file(model) for model in self.models), self.shares, self.floor)
        expected, got = self.raw(features), trees.raw(features)
        limit = ONNX_TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
        worst = float(np.abs(expected - got).max(initial=0.0))
        if worst > limit:
            raise RuntimeError(f"The trees as ONNX differ by {worst:.2g} from scikit-learn's (allowed {limit:.2g}).")
        return trees

    def _answer(self, model: Any, features: Floats) -> Floats:
        if isinstance(model, float):
            return np.full((len(features), 1), model)
        if hasattr(model, "_raw_predict"):
            return np.asarray(model._raw_predict(features), np.float64).reshape(len(features), -1)
        if hasattr(model, "predict_proba"):
            shares = np.asarray(model.predict_proba(features), np.float64)
            return shares[:, 1:] if shares.shape[1] == 2 else shares
        return np.asarray(model.predict(features), np.float64)[:, None]

    def _file(self, model: Any) -> bytes:
        if isinstance(model, float):
            return _trees.to_onnx(_trees.leaf(model), average=False, base=np.zeros(1), width=self.width)
        if hasattr(model, "_raw_predict"):
            base = np.asarray(model._baseline_prediction, np.float64).ravel()
            return _trees.to_onnx(_trees.boosting_nodes(model), average=False, base=base, width=self.width)
        nodes = _trees.forest_nodes(model, probabilities=hasattr(model, "predict_proba"))
        return _trees.to_onnx(nodes, average=True, base=np.zeros(nodes.values.shape[1]), width=self.width)


Fitted: TypeAlias = Linear | Kernel | Trees
"""What a saved model holds."""


def rbf(rows: Array, vectors: Array, gamma: float) -> Floats:
    """The Gaussian kernel ``(n, m)`` float64 of ``(n, D)`` and ``(m, D)`` float32, in little more memory than its own."""
    kernel = (rows @ vectors.T).astype(np.float64)
    kernel *= -2
    kernel += _squares(rows)[:, None]
    kernel += _squares(vectors)[None, :]
    np.maximum(kernel, 0, out=kernel)
    kernel *= -gamma
    return np.asarray(np.exp(kernel, out=kernel))


def _squares(rows: Array) -> Floats:
    return np.asarray(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))


def log_scores(shares: Floats, floor: float) -> Floats:
    """Log-odds of one column, logarithms of several."""
    kept = np.clip(shares, floor, 1 - floor)
    return np.asarray(np.log(kept) - np.log1p(-kept) if shares.shape[1] == 1 else np.log(kept))
