"""How many labels the loop needs when it asks for them, beside labels taken at random: X-rays pooled and split again.

The way of asking was chosen on splits with other seeds than these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.core import Row, shared
from medloop.loop.simulate import simulate
from medloop.requests import SimulateRequest
from medloop.types import Array
from medloop.workspace import Workspace

_SEEDS = [0, 1, 2, 3, 4]
_SPLITS = ("train", "val", "test")


def rows() -> Iterator[Row]:
    """The share of the labels that reaches 99.5 % of the full-data AUC."""
    images, labels = pooled()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pooled.npz"
        np.savez(file, train_images=images, train_labels=labels)
        found = simulate(Workspace(Path(folder)), SimulateRequest(src=str(file), seeds=len(_SEEDS)))
    each = [(row["labels_needed"], row["labels_needed_random"]) for row in found.seeds]
    told = ", ".join("/".join(f"{100 * one:.1f}" for one in pair) for pair in each)
    yield Row(
        what="labels needed for 99.5 % of the full-data AUC, pneumoniamnist pooled and split again, asked for",
        figure=100 * found.labels_needed,
        unit="% of the training labels",
        baseline="taken at random",
        baseline_figure=100 * found.labels_needed_random,
        ratio=found.labels_needed_random / found.labels_needed,
        seeds=_SEEDS,
        notes=f"full AUC {found.full_auc:.4f}; {found.labels} labels; each seed asked/random {told}; {found.seconds:.0f} s",
    )


def pooled() -> tuple[Array, Array]:
    """All pictures of the three splits, one of each, with their labels."""
    with np.load(shared("pneumoniamnist_rebuilt.npz")) as stored:
        images = np.concatenate([stored[f"{part}_images"] for part in _SPLITS])
        labels = np.concatenate([stored[f"{part}_labels"] for part in _SPLITS])
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    return images[first], labels[first]
