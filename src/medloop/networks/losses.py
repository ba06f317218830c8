"""What training makes small: pure functions of outputs, targets and weights.

Every loss works on a last axis of answers that exclude one another. For classes that axis is the outputs' own, ``(N, K)``; for
labels (binary, multi-label) each output is a question with the two answers no and yes, ``(N, K, 2)``. Targets are shares of that
axis, so label smoothing and mixtures need no losses of their own. Sources: focal loss, Lin et al., ICCV 2017; logit adjustment,
Menon et al., ICLR 2021; generalised cross-entropy, Zhang and Sabuncu, NeurIPS 2018; label smoothing, Szegedy et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medloop.errors import InputError, unknown_name
from medloop.types import Array, Json, Target, TargetKind

Elements = Callable[[Tensor], Tensor]
"""What each answer costs if it is the true one, from log probabilities."""


def cross_entropy(log_probabilities: Tensor) -> Tensor:
    """``-log p``."""
    return -log_probabilities


def focal(log_probabilities: Tensor, gamma: float) -> Tensor:
    """``-(1 - p)^gamma log p``: what is already right counts little. ``gamma`` 0 is cross-entropy."""
    if gamma == 0:
        return -log_probabilities
    # 1 - p is kept from 0, where its power has no gradient
    return -((-torch.expm1(log_probabilities)).clamp(min=1e-6) ** gamma) * log_probabilities


def generalised_cross_entropy(log_probabilities: Tensor, q: float) -> Tensor:
    """``(1 - p^q) / q``: between cross-entropy (q to 0) and mean absolute error (q 1), which forgives wrong labels."""
    return -torch.expm1(q * log_probabilities) / q


def shares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets as shares ``(N, K)``: class numbers ``(N,)`` become one-hot, shares stay."""
    if targets.ndim == outputs.ndim:
        return targets.to(torch.float32)
    return functional.one_hot(targets.long(), outputs.shape[1]).to(torch.float32)


def of_classes(outputs: Tensor, targets: Tensor, weights: Tensor | None, elements: Elements, *, smoothing: float = 0.0) -> Tensor:
    """Mean over cases.

    ``outputs``: ``(N, K)``. ``targets``: ``(N,)`` classes or ``(N, K)`` shares. ``weights``: ``(N,)`` or None.
    """
    wanted = shares(outputs, targets)
    wanted = (1 - smoothing) * wanted + smoothing / outputs.shape[1]
    each = (wanted * elements(functional.log_softmax(outputs.float(), dim=1))).sum(dim=1)
    return _mean(each, torch.ones_like(each) if weights is None else weights.to(each))


def of_labels(outputs: Tensor, targets: Tensor, weights: Tensor | None, elements: Elements, *, smoothing: float = 0.0) -> Tensor:
    """Mean over known labels. ``outputs``: ``(N, K)``. ``targets``: ``(N, K)`` (or ``(N,)`` for K 1) 0 to 1, NaN for unknown.

    ``weights``: ``(N,)`` or ``(N, K)`` or None.
    """
    outputs = outputs.float()
    wanted, known = _known(outputs, targets)
    wanted = (1 - smoothing) * wanted + smoothing / 2
    answers = torch.stack([functional.logsigmoid(-outputs), functional.logsigmoid(outputs)], dim=-1)
    each = (torch.stack([1 - wanted, wanted], dim=-1) * elements(answers)).sum(dim=-1)
    return _mean(each, known * _columns(weights, each))


def of_numbers(outputs: Tensor, targets: Tensor, weights: Tensor | None, *, delta: float = 0.0) -> Tensor:
    """Mean of half the squared error over known numbers; ``delta`` above 0: Huber's, linear from there on.

    Shapes as in `of_labels`.
    """
    outputs = outputs.float()
    wanted, known = _known(outputs, targets)
    error = outputs - wanted
    each = functional.huber_loss(outputs, wanted, reduction="none", delta=delta) if delta > 0 else 0.5 * error * error
    return _mean(each, known * _columns(weights, each))


def _known(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Targets in the outputs' shape with 0 for unknown, and 1.0 where they are known."""
    targets = targets.to(torch.float32).reshape(outputs.shape)
    known = torch.isfinite(targets)
    return torch.where(known, targets, torch.zeros_like(targets)), known.to(torch.float32)


def _columns(weights: Tensor | None, each: Tensor) -> Tensor:
    if weights is None:
        return torch.ones_like(each)
    return (weights if weights.ndim == each.ndim else weights[:, None]).to(each).expand_as(each)


def _mean(each: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean; 0 where nothing has a weight."""
    return (each * weights).sum() / weights.sum().clamp(min=1e-12)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSpec:
    """Which loss, as a recipe holds it.

    ``name``: ``cross-entropy``, ``focal`` (with ``gamma``) or ``generalised`` (with ``q``, for noisy labels); numbers take half
    the squared error, or with ``delta`` Huber's. ``smoothing``: of labels. ``weighting``: 0 none, 1 every class counts the same
    in sum, between them in between. ``adjust``: strength of logit adjustment by class frequency (1 as published): training sees
    ``output + adjust log prior``.
    """

    name: str = "cross-entropy"
    smoothing: float = 0.0
    gamma: float = 2.0
    q: float = 0.7
    delta: float = 0.0
    weighting: float = 0.0
    adjust: float = 0.0

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> LossSpec:
        """The inverse of `to_json`; what is left out is as by default. Raises `InputError`."""
        known = {each.name for each in fields(LossSpec)}
        found: dict[str, Any] = {}
        for name, value in content.items():
            if name not in known:
                raise unknown_name("loss setting", name, known)
            if name == "name":
                if value not in _NAMES:
                    raise unknown_name("loss", str(value), _NAMES)
                found[name] = value
                continue
            low, high = _RANGES[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                got = f"The loss setting '{name}' is {value!r}."
                raise InputError(
                    "loss", got=got, allowed=f"A number from {low:g} to {high:g}.", fix=f"Correct '{name}' in the recipe."
                )
            found[name] = float(value)
        return LossSpec(**found)


_NAMES = ("cross-entropy", "focal", "generalised")
_RANGES = {"smoothing": (0, 0.9), "gamma": (0, 10), "q": (0.01, 1), "delta": (0, 1e6), "weighting": (0, 1), "adjust": (0, 5)}


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A loss with what it learnt from the training labels: ``loss(outputs, targets, weights=None)`` gives a scalar.

    ``class_weights`` and ``log_priors``: ``(K,)`` for classes; for labels ``(K, 2)``, no and yes, and ``(K,)`` log odds. Numbers
    have none.
    """

    kind: TargetKind
    spec: LossSpec
    class_weights: Tensor | None = None
    log_priors: Tensor | None = None

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """``outputs``: ``(N, K)``, one column for binary and numbers.

        ``targets``: as in `of_classes`, `of_labels`, `of_numbers`.
        """
        if self.kind is TargetKind.NUMBER:
            return of_numbers(outputs, targets, weights, delta=self.spec.delta)
        if self.log_priors is not None:
            outputs = outputs.float() + self.spec.adjust * self.log_priors.to(outputs.device)
        weights = self._weights(outputs, targets, weights)
        of = of_classes if self.kind is TargetKind.MULTICLASS else of_labels
        return of(outputs, targets, weights, self._elements, smoothing=self.spec.smoothing)

    def _elements(self, log_probabilities: Tensor) -> Tensor:
        if self.spec.name == "focal":
            return focal(log_probabilities, self.spec.gamma)
        if self.spec.name == "generalised":
            return generalised_cross_entropy(log_probabilities, self.spec.q)
        return cross_entropy(log_probabilities)

    def _weights(self, outputs: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor | None:
        """Weights of cases or labels times those of their classes."""
        if self.class_weights is None:
            return weights
        by_class = self.class_weights.to(outputs.device)
        if self.kind is TargetKind.MULTICLASS:
            own = (shares(outputs, targets) * by_class).sum(dim=1)
            return own if weights is None else own * weights.to(own)
        wanted, _ = _known(outputs, targets)
        own = (1 - wanted) * by_class[:, 0] + wanted * by_class[:, 1]
        return own if weights is None else own * _columns(weights, own)


def make(target: Target, spec: LossSpec, values: Array) -> Loss:
    """The loss for training cases of these ``values`` (as in `Dataset.values`).

    A class that never occurs has weight 0 and the prior of half a case.
    """
    if target.kind is TargetKind.NUMBER:
        return Loss(target.kind, spec)
    counts = _counts(target, values)
    seen = np.maximum(counts, 0.5)
    fair = np.where(counts > 0, (seen.sum(axis=-1, keepdims=True) / (counts.shape[-1] * seen)) ** spec.weighting, 0.0)
    priors = np.log(seen / seen.sum(axis=-1, keepdims=True))
    if target.kind is not TargetKind.MULTICLASS:
        priors = priors[:, 1] - priors[:, 0]
    return Loss(
        target.kind,
        spec,
        torch.tensor(fair, dtype=torch.float32) if spec.weighting > 0 else None,
        torch.tensor(priors, dtype=torch.float32) if spec.adjust > 0 else None,
    )


def _counts(target: Target, values: Array) -> Array:
    """How often each answer occurs: ``(K,)`` for classes, ``(K, 2)`` for labels (binary: K is 1)."""
    values = np.asarray(values)
    if target.kind is TargetKind.MULTICLASS:
        return np.bincount(values.astype(np.int64), minlength=len(target.classes)).astype(np.float64)
    labels = values.reshape(len(values), -1)
    return np.stack([(labels == 0).sum(axis=0), (labels == 1).sum(axis=0)], axis=1).astype(np.float64)
