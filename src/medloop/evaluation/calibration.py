"""Make raw scores into probabilities that can be taken at their word.

Candidates: identity (the softmax or logistic of the scores), temperature (Guo et al. 2017) and temperature with class
offsets (Alexandari et al. 2020) for multi-class, Platt's sigmoid for binary and multi-label, isotonic (centred blocks
joined by lines, Oron and Flournoy 2017). The choice is by grouped cross-validated log loss on the scores given: the
simplest whose loss is not more than one standard error above the best. Give it out-of-fold scores, never fitted ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import special
from sklearn.isotonic import IsotonicRegression

from medloop.types import Array, Floats, Integers, Json, Target, TargetKind

FOLDS = 5
_EPSILON = 1e-6
_FEW = 10
_MANY = 100
_SIGMOID_SHARE = 0.02
_PULL = 0.01
_FLATTEST = 1e-3


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising function of one score: a sigmoid ``1 / (1 + exp(-(slope s + offset)))``, mixed with a line through knots.

    Without knots it is the sigmoid alone. With knots 2 % sigmoid stay in the mixture, so that unequal scores stay unequal.
    """

    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[float, ...] = ()
    heights: tuple[float, ...] = ()

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of ``(N,)`` scores."""
        sigmoid = special.expit(self.slope * scores + self.offset)
        if not self.knots:
            return np.asarray(sigmoid)
        line = np.interp(scores, self.knots, self.heights)
        return np.asarray((1 - _SIGMOID_SHARE) * line + _SIGMOID_SHARE * sigmoid)


@dataclass(frozen=True, slots=True)
class Calibrator:
    """How scores become probabilities: pure data.

    ``kind``: the target's. ``methods``: the method chosen, one for binary and multi-class, one a class for multi-label.
    ``curves``: one for binary, one a class for multi-label and multi-class isotonic. ``temperature`` and ``offsets``
    serve multi-class. ``losses``: cross-validated log loss of every candidate, first class only for multi-label.
    """

    kind: str
    methods: tuple[str, ...]
    curves: tuple[Curve, ...] = ()
    temperature: float = 1.0
    offsets: tuple[float, ...] = ()
    losses: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Calibrator:
        """The calibrator that `to_json` wrote."""
        curves = tuple(
            Curve(float(each["slope"]), float(each["offset"]), tuple(map(float, each["knots"])), tuple(map(float, each["heights"])))
            for each in content["curves"]
        )
        return Calibrator(
            kind=str(content["kind"]),
            methods=tuple(map(str, content["methods"])),
            curves=curves,
            temperature=float(content["temperature"]),
            offsets=tuple(map(float, content["offsets"])),
            losses=tuple((str(name), float(loss)) for name, loss in content["losses"]),
        )


def fit(target: Target, scores: Floats, values: Array, groups: Integers, seed: int = 0) -> Calibrator:
    """Choose and fit on out-of-fold scores.

    ``scores``: real numbers, higher is more likely. Binary: ``(N,)``, ``(N, 1)`` or ``(N, 2)`` (the difference counts); multi-class
    and multi-label ``(N, K)``; numbers ``(N, 1)``. ``values``: truth as in `Dataset.values`. ``groups``: ``(N,)``, never parted.
    """
    kind = str(target.kind)
    if target.kind is TargetKind.NUMBER:
        return Calibrator(kind, ("identity",))
    if target.kind is TargetKind.MULTICLASS:
        return _fit_classes(kind, np.asarray(scores, dtype=np.float64), np.asarray(values), groups, seed)
    if target.kind is TargetKind.BINARY:
        method, curve, losses = _fit_curve(_margin(scores), np.asarray(values) == 1, groups, seed)
        return Calibrator(kind, (method,), (curve,), losses=losses)
    methods: list[str] = []
    curves: list[Curve] = []
    first: tuple[tuple[str, float], ...] = ()
    for k in range(scores.shape[1]):
        known = np.isfinite(values[:, k])
        method, curve, losses = _fit_curve(
            np.asarray(scores[known, k], dtype=np.float64), values[known, k] == 1, groups[known], seed
        )
        methods.append(method)
        curves.append(curve)
        first = first or losses
    return Calibrator(kind, tuple(methods), tuple(curves), losses=first)


def apply(calibrator: Calibrator, scores: Floats) -> Floats:
    """``(N, K)`` probabilities (binary: two columns; numbers: the scores as they are, ``(N, 1)``)."""
    if calibrator.kind == TargetKind.NUMBER:
        return np.asarray(scores, dtype=np.float64).reshape(len(scores), 1)
    if calibrator.kind == TargetKind.BINARY:
        positive = calibrator.curves[0](_margin(scores))
        return np.stack([1 - positive, positive], axis=1)
    scores = np.asarray(scores, dtype=np.float64)
    if calibrator.kind == TargetKind.MULTILABEL:
        return np.stack([curve(scores[:, k]) for k, curve in enumerate(calibrator.curves)], axis=1)
    return _of_classes(calibrator, scores)


def _of_classes(calibrator: Calibrator, scores: Floats) -> Floats:
    if calibrator.curves:
        shares = np.stack([curve(scores[:, k]) for k, curve in enumerate(calibrator.curves)], axis=1) + 1e-12
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    offsets = np.asarray(calibrator.offsets) if calibrator.offsets else 0.0
    return np.asarray(special.softmax(scores / calibrator.temperature + offsets, axis=1))


def _margin(scores: Floats) -> Floats:
    """One score a case: the second column less the first, where there are two."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 2:
        return np.asarray(scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores[:, 0])
    return scores


# One class against the rest


def _fit_curve(scores: Floats, truth: Array, groups: Integers, seed: int) -> tuple[str, Curve, tuple[tuple[str, float], ...]]:
    fewer = int(min(truth.sum(), (~truth).sum()))
    if fewer == 0:
        return "platt", _platt(scores, truth), ()
    names = ["identity", "platt", "isotonic"] if fewer >= _MANY else ["identity", "platt"]
    if fewer < _FEW:
        return "platt", _platt(scores, truth), ()
    fold = _folds(truth.astype(np.int64), groups, seed)
    losses = np.zeros((len(names), len(scores)))
    for each in range(FOLDS):
        held = fold == each
        for row, name in enumerate(names):
            losses[row, held] = _log_loss(_CURVES[name](scores[~held], truth[~held])(scores[held]), truth[held])
    chosen = _simplest(names, losses, groups)
    return chosen, _CURVES[chosen](scores, truth), _means(names, losses)


def _identity(scores: Floats, truth: Array) -> Curve:
    del scores, truth
    return Curve()


def _platt(scores: Floats, truth: Array) -> Curve:
    """Platt's sigmoid with his smoothed targets (Platt 1999; Lin et al. 2007). The slope never falls below 0."""
    ones, zeros = float(truth.sum()), float((~truth).sum())
    wanted = np.where(truth, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    if len(scores) == 0 or np.ptp(scores) == 0:
        return Curve(0.0, float(np.log((ones + 1) / (zeros + 1))))
    centre, spread = float(np.mean(scores)), float(np.std(scores))
    z = (scores - centre) / spread

    def loss(params: Floats) -> tuple[float, Floats, Floats]:
        logits = params[0] * z + params[1]
        chance = special.expit(logits)
        excess, bend = chance - wanted, chance * (1 - chance)
        slope = np.array([excess @ z, excess.sum()])
        return (
            float(np.sum(np.logaddexp(0, logits) - wanted * logits)),
            slope,
            np.array([[bend @ z**2, bend @ z], [bend @ z, bend.sum()]]),
        )

    prior = np.log((ones + 1) / (zeros + 1))
    slope, offset = _newton(loss, np.array([1.0, prior]))
    if slope <= 0:
        return Curve(0.0, float(special.logit(wanted.mean())))
    return Curve(float(slope / spread), float(offset - slope * centre / spread))


def _isotonic(scores: Floats, truth: Array) -> Curve:
    """Isotonic regression; each flat block is a knot at its mean score, its share smoothed by Laplace's rule."""
    sigmoid = _platt(scores, truth)
    order = np.argsort(scores, kind="stable")
    level = IsotonicRegression(out_of_bounds="clip").fit(scores, truth).predict(scores[order])
    _, block = np.unique(level, return_inverse=True)
    size = np.bincount(block)
    knots = np.bincount(block, scores[order]) / size
    heights = (np.bincount(block, truth[order].astype(np.float64)) + 0.5) / (size + 1)
    heights = np.maximum.accumulate(heights)
    return Curve(sigmoid.slope, sigmoid.offset, tuple(knots.tolist()), tuple(heights.tolist()))


_CURVES = {"identity": _identity, "platt": _platt, "isotonic": _isotonic}


# All classes together


def _fit_classes(kind: str, scores: Floats, values: Array, groups: Integers, seed: int) -> Calibrator:
    counts = np.bincount(values, minlength=scores.shape[1])
    names = ["temperature"] if counts.min() < 2 else ["identity", "temperature"]
    if counts.min() >= _FEW:
        names.append("temperature and offsets")
    if counts.min() >= _MANY:
        names.append("isotonic")
    if len(names) == 1:
        return _class_calibrator(kind, names[0], scores, values)
    fold = _folds(values, groups, seed)
    losses = np.zeros((len(names), len(scores)))
    for each in range(FOLDS):
        held = fold == each
        for row, name in enumerate(names):
            chances = _of_classes(_class_calibrator(kind, name, scores[~held], values[~held]), scores[held])
            losses[row, held] = -np.log(np.maximum(chances[np.arange(held.sum()), values[held]], _EPSILON))
    fitted = _class_calibrator(kind, _simplest(names, losses, groups), scores, values)
    return Calibrator(kind, fitted.methods, fitted.curves, fitted.temperature, fitted.offsets, _means(names, losses))


def _class_calibrator(kind: str, name: str, scores: Floats, values: Array) -> Calibrator:
    if name == "isotonic":
        curves = tuple(_isotonic(scores[:, k], values == k) for k in range(scores.shape[1]))
        return Calibrator(kind, (name,), curves)
    if name == "identity":
        return Calibrator(kind, (name,))
    free = scores.shape[1] if name == "temperature and offsets" else 0
    inverse, offsets = _scaled(scores, values, free)
    return Calibrator(kind, (name,), temperature=1 / inverse, offsets=tuple(offsets.tolist()))


def _scaled(scores: Floats, values: Array, free: int) -> tuple[float, Floats]:
    """The inverse temperature, and ``free`` class offsets, of least log loss; a slight pull to the start keeps both finite."""
    unit = max(float(np.std(scores)), 1e-12)
    rows, onehot = np.arange(len(values)), np.eye(scores.shape[1])[values]
    z = scores / unit

    def loss(params: Floats) -> tuple[float, Floats, Floats]:
        logits = params[0] * z + (params[1:] if free else 0.0)
        chance = special.softmax(logits, axis=1)
        excess, mixed = chance - onehot, (chance * z).sum(axis=1, keepdims=True)
        value = float(np.sum(special.logsumexp(logits, axis=1) - logits[rows, values]))
        bend = np.zeros((1 + free, 1 + free))
        bend[0, 0] = np.sum(chance * z**2) - np.sum(mixed**2)
        if free:
            bend[0, 1:] = bend[1:, 0] = (chance * (z - mixed)).sum(axis=0)
            bend[1:, 1:] = np.diag(chance.sum(axis=0)) - chance.T @ chance
        away = params - start
        slope = np.concatenate([[np.sum(excess * z)], excess.sum(axis=0)[:free]]) + _PULL * away
        return value + _PULL / 2 * float(away @ away), slope, bend + _PULL * np.eye(1 + free)

    start = np.concatenate([[1.0], np.zeros(free)])
    found = _newton(loss, start)
    return max(float(found[0]), _FLATTEST) / unit, found[1:]


def _newton(loss: Callable[[Floats], tuple[float, Floats, Floats]], start: Floats) -> Floats:
    """The minimum of a convex function of few parameters; ``loss`` gives value, slope and bend (gradient and Hessian)."""
    params, (value, slope, bend) = start, loss(start)
    for _ in range(100):
        step = np.linalg.lstsq(bend, slope)[0]
        fraction = 1.0
        while fraction > 1e-6 and loss(params - fraction * step)[0] > value - 1e-4 * fraction * float(slope @ step):
            fraction /= 2
        params = params - fraction * step
        before, (value, slope, bend) = value, loss(params)
        if before - value < 1e-10 * (1 + abs(value)):
            break
    return params


# Choosing


def _folds(values: Integers, groups: Integers, seed: int) -> Integers:
    """``(N,)`` fold numbers: groups are dealt out at random, rarest class first, so that every fold has some of each."""
    names, first, member = np.unique(groups, return_index=True, return_inverse=True)
    of_group = np.asarray(values)[first]
    sizes = np.bincount(np.asarray(values))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    dealt = shuffled[np.argsort(sizes[of_group[shuffled]], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    fold[dealt] = np.arange(len(names)) % FOLDS
    return np.asarray(fold[member])


def _log_loss(positive: Floats, truth: Array) -> Floats:
    positive = np.clip(positive, _EPSILON, 1 - _EPSILON)
    return -np.where(truth, np.log(positive), np.log1p(-positive))


def _simplest(names: list[str], losses: Floats, groups: Integers) -> str:
    """The first name whose loss is within one standard error (between groups, paired) of the best."""
    best = int(losses.mean(axis=1).argmin())
    _, member = np.unique(groups, return_inverse=True)
    for row, name in enumerate(names):
        excess = np.bincount(member, losses[row] - losses[best])
        if excess.sum() <= np.sqrt(len(excess)) * excess.std():
            return name
    return names[best]


def _means(names: list[str], losses: Floats) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(loss)) for name, loss in zip(names, losses.mean(axis=1), strict=True))
