"""How accurate and how well calibrated learn without a recipe is on three public sets: mean of three seeds, with its spread.

Only this bench and `bench.classical` score the test splits of the development data; choices are made without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import special

from bench.core import Row, shared
from medloop import families
from medloop.compute import Compute
from medloop.evaluation import weighted
from medloop.families import Model
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, collect, look
from medloop.loop.learn import learn
from medloop.requests import LearnRequest, LearnResult, SourceRequest
from medloop.types import Floats
from medloop.workspace import Workspace

SEEDS = [0, 1, 2]
_XRAYS, _SHAPES, _CELLS, _POOLED = "14m", "4m", "4m", "90s"
"""The promise allows 15 minutes each. For X-rays generation 1 and frozen networks have about 4 minutes each, a network trained on
has 6; for shapes 1.5 each, and for a network trained on there is no time."""
_RESPLITS = 5
_SPLITS = ("train", "val", "test")


def rows() -> Iterator[Row]:
    """X-rays, adrenal shapes, blood cells, and the calibration of X-rays whose splits are drawn anew."""
    for part in (_xrays, _shapes, _cells, _calibration):
        yield from part()


def _xrays() -> list[Row]:
    source = str(shared("pneumoniamnist_rebuilt.npz"))
    found = [_learn(src=source, budget=_XRAYS, seed=seed) for seed in SEEDS]
    what, best = f"pneumoniamnist, ladder, {_XRAYS}: test", "published: Google AutoML Vision (ResNet-50 at 224 px 0.962 / 0.884)"
    return [
        _row(f"{what} AUC", "auc", found, best, 0.991),
        _row(f"{what} accuracy", "accuracy", found, best, 0.946),
        _row(f"{what} calibration error", "ece", found),
    ]


def _shapes() -> list[Row]:
    source = str(shared("adrenalmnist3d.npz"))
    found = [_learn(src=source, budget=_SHAPES, seed=seed) for seed in SEEDS]
    return [_row(f"adrenalmnist3d, ladder, {_SHAPES}: test AUC", "auc", found, "published best", 0.839)]


def _cells() -> list[Row]:
    folder = shared("wbc")
    words = {"src": str(folder), "images": "*.bmp", "labels": str(next(folder.glob("*.csv"))), "folds": 5, "budget": _CELLS}
    found = [_learn(**words, seed=seed) for seed in SEEDS]
    return [_row(f"wbc classes 1-4, ladder, 5 folds, {_CELLS}: balanced accuracy", "balanced_accuracy", found)]


def _calibration() -> list[Row]:
    """Pooled, one of each picture, split again at random: 70, 10 and 20 per cent."""
    with np.load(shared("pneumoniamnist_rebuilt.npz")) as stored:
        images = np.concatenate([stored[f"{part}_images"] for part in _SPLITS])
        labels = np.concatenate([stored[f"{part}_labels"] for part in _SPLITS])
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    ours, bare = [], []
    for seed in range(_RESPLITS):
        order = np.random.default_rng(seed).permutation(first)
        parts = np.split(order, [int(0.7 * len(order)), int(0.8 * len(order))])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pooled.npz"
            arrays = {f"{name}_images": images[part] for name, part in zip(_SPLITS, parts, strict=True)}
            truth = {f"{name}_labels": labels[part] for name, part in zip(_SPLITS, parts, strict=True)}
            np.savez(file, **arrays, **truth)
            result = _learn(src=str(file), budget=_POOLED, seed=seed, workspace=Path(folder))
            raw = _raw_scores(families.load(Path(result.model)), file, Path(folder))
        ours.append(float(result.test["ece"].value or 0.0))
        bare.append(_ece(special.expit(raw), labels[parts[2]].ravel()))
    return [
        Row(
            what=f"calibration error, pneumoniamnist pooled and split again {_RESPLITS} times, ladder, {_POOLED}",
            figure=float(np.mean(ours)),
            unit="expected calibration error",
            baseline="the same models uncalibrated",
            baseline_figure=float(np.mean(bare)),
            ratio=float(np.mean(bare) / np.mean(ours)),
            seeds=list(range(_RESPLITS)),
            notes="each split " + ", ".join(f"{each:.3f}" for each in ours),
        )
    ]


def _raw_scores(model: Model, file: Path, place: Path) -> Floats:
    """The model's uncalibrated scores of the test pictures, in their order."""
    workspace = Workspace(place)
    with Compute() as compute:
        means = Means(workspace=workspace, compute=compute, clock=Clock())
        refs = [ref for ref in collect(SourceRequest(src=str(file)), means).refs if "#test/" in ref.name]
        arrays = look(refs, lambda _: model.preparation, means, copies=False).survey.arrays
        if arrays is None or len(arrays) != len(refs):
            raise RuntimeError("a picture was not prepared")
        return np.asarray(model.raw(arrays, compute=compute, cache=workspace.cache)[:, 0])


def _ece(chances: Floats, truth: np.ndarray) -> float:
    """The same figure as a result's ``ece``."""
    return float(weighted.calibration_error(truth == 1, chances)(np.ones((len(truth), 1)))[0])


def _learn(*, workspace: Path | None = None, **request: str | int) -> LearnResult:
    """Learn without a recipe, in a workspace of its own unless one is given."""
    with tempfile.TemporaryDirectory() as folder:
        result = learn(Workspace(workspace or Path(folder)), LearnRequest(**request))  # type: ignore[arg-type]
    if not isinstance(result, LearnResult):
        raise TypeError("learn gave a dry run")
    return result


def _row(what: str, metric: str, found: list[LearnResult], baseline: str = "", figure: float | None = None) -> Row:
    values = [float(each.test[metric].value or 0.0) for each in found]
    rungs = ["+".join(str(row.get("how") or row["family"]) for row in each.ladder if row["chosen"]) for each in found]
    spent = ", ".join(f"{each.seconds:.0f} s" for each in found)
    return Row(
        what=what,
        figure=float(np.mean(values)),
        unit=metric,
        baseline=baseline,
        baseline_figure=figure,
        seeds=SEEDS,
        notes=f"spread {np.std(values, ddof=1):.3f}; seeds {', '.join(f'{each:.3f}' for each in values)}; {rungs}; {spent}",
    )
