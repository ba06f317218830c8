"""How accurate generation 1 is on three public sets, beside simple baselines on the same cases.

This is the only place that scores the test splits of the development data; choices are made without them.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from bench.core import Row, shared
from medloop import features
from medloop.loop.learn import learn
from medloop.requests import LearnRequest, LearnResult
from medloop.workspace import Workspace

_TREES = 500
_SEEDS = [0, 1, 2]
_SPLITS = ("train", "val", "test")
Split = dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]


def rows() -> list[Row]:
    """Test AUC and accuracy on X-rays, test AUC on adrenal shapes, cross-validated balanced accuracy on blood cells."""
    return [*_xrays(), *_shapes(), *_cells()]


def _xrays() -> list[Row]:
    path = shared("pneumoniamnist_rebuilt.npz")
    split = _npz(path)
    hog = {name: features.extract(images[:, None, None], features.feature("hog"), {}) for name, (images, _) in split.items()}
    auc, accuracy = _baseline(hog, split)
    found = _learn(src=str(path), budget="5m")
    what, baseline = "pneumoniamnist, classical, 5 minutes: test", "HOG + extra trees"
    return [
        _row(f"{what} AUC", found, "auc", baseline, auc),
        _row(f"{what} accuracy", found, "accuracy", baseline, accuracy),
    ]


def _shapes() -> list[Row]:
    path = shared("adrenalmnist3d.npz")
    split = _npz(path)
    voxels = {name: images.reshape(len(images), -1) for name, (images, _) in split.items()}
    auc, _ = _baseline(voxels, split)
    found = _learn(src=str(path), budget="5m")
    return [_row("adrenalmnist3d, classical, 5 minutes: test AUC", found, "auc", "voxels + extra trees", auc)]


def _cells() -> list[Row]:
    folder = shared("wbc")
    table = next(folder.glob("*.csv"))
    with table.open(newline="") as file:
        listed = [(int(row["image ID"]), int(row["class label"])) for row in csv.DictReader(file)]
    kept = [(number, label) for number, label in listed if label <= 4]
    pictures = [cv2.imread(str(folder / "Dataset 1" / f"{number:03d}.bmp")) for number, _ in kept]
    histograms = np.stack([_histogram(picture) for picture in pictures])
    labels = np.array([label for _, label in kept])
    simple, found = [], []
    for seed in _SEEDS:
        trees = ExtraTreesClassifier(_TREES, class_weight="balanced", random_state=seed, n_jobs=2)
        answers = cross_val_predict(trees, histograms, labels, cv=StratifiedKFold(5, shuffle=True, random_state=seed))
        simple.append(balanced_accuracy_score(labels, answers))
        result = _learn(src=str(folder), images="*.bmp", labels=str(table), folds=5, budget="3m", seed=seed)
        found.append(float(result.test["balanced_accuracy"].value or 0.0))
    return [
        Row(
            what="wbc classes 1-4, classical, 5 folds: balanced accuracy",
            figure=float(np.mean(found)),
            unit="balanced accuracy",
            baseline="colour histograms + balanced extra trees",
            baseline_figure=float(np.mean(simple)),
            seeds=_SEEDS,
            notes="each seed " + ", ".join(f"{each:.3f}" for each in found),
        )
    ]


def _learn(**request: str | int) -> LearnResult:
    """Learn in a workspace of its own, with the recipe ``classical``."""
    with tempfile.TemporaryDirectory() as folder:
        result = learn(Workspace(Path(folder)), LearnRequest(recipe="classical", **request))  # type: ignore[arg-type]
    if not isinstance(result, LearnResult):
        raise TypeError("learn gave a dry run")
    return result


def _row(what: str, result: LearnResult, metric: str, baseline: str, figure: float) -> Row:
    found = result.test[metric]
    return Row(
        what=what,
        figure=float(found.value or 0.0),
        unit=metric,
        baseline=baseline,
        baseline_figure=figure,
        seeds=[0],
        notes=f"95 % interval {found.low:.3f} to {found.high:.3f}; {result.seconds:.0f} s",
    )


def _npz(path: Path) -> Split:
    with np.load(path) as stored:
        return {name: (stored[f"{name}_images"], stored[f"{name}_labels"].ravel().astype(np.int64)) for name in _SPLITS}


def _baseline(rows: dict[str, NDArray[np.floating]], split: Split) -> tuple[float, float]:
    """Test AUC and accuracy of extra trees on these features, learnt from training and validation cases."""
    seen = np.concatenate([rows["train"], rows["val"]])
    labels = np.concatenate([split["train"][1], split["val"][1]])
    chances = ExtraTreesClassifier(_TREES, random_state=0, n_jobs=2).fit(seen, labels).predict_proba(rows["test"])[:, 1]
    truth = split["test"][1]
    return float(roc_auc_score(truth, chances)), float(accuracy_score(truth, chances >= 0.5))


def _histogram(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of hue, saturation and value, 16 bins each, and of 4 by 4 by 4 colours."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    single = [cv2.calcHist([hsv], [channel], None, [16], [0, 180 if channel == 0 else 256]) for channel in range(3)]
    joint = cv2.calcHist([picture], [0, 1, 2], None, [4, 4, 4], [0, 256] * 3)
    return np.concatenate([each.ravel() for each in (*single, joint)]) / (picture.shape[0] * picture.shape[1])
