"""Labels inside an .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.labels import Labelled, read
from medloop.readers import collect
from medloop.requests import SourceRequest
from medloop.types import Split, TargetKind


def labelled_from(path: Path, **labels: object) -> Labelled:
    """Writes twelve pictures with these labels and reads them."""
    pictures = np.random.default_rng(0).integers(0, 255, (6, 8, 8)).astype(np.uint8)
    np.savez(path, train_images=pictures, test_images=pictures[::-1], **labels)  # type: ignore[arg-type]
    with Compute(0) as compute:
        return read(collect(path, compute=compute), SourceRequest(src=str(path)))


def test_classes_and_given_splits(tmp_path: Path) -> None:
    labelled = labelled_from(
        tmp_path / "x.npz",
        train_labels=np.array([[0], [1], [1], [0], [1], [0]], np.uint8),
        test_labels=np.array([0, 1, 0, 1, 0, 1]),
    )
    assert labelled.target.kind is TargetKind.BINARY
    assert labelled.target.classes == ("0", "1")
    assert [label.value for label in labelled.labels] == ["0", "1", "0", "1", "0", "1", "0", "1", "1", "0", "1", "0"]
    assert [case.given_split for case in labelled.cases] == [Split.TEST] * 6 + [Split.TRAIN] * 6
    assert "given split" in labelled.layout


def test_multi_label(tmp_path: Path) -> None:
    flags = np.array([[0, 1, 1]] * 6)
    labelled = labelled_from(tmp_path / "x.npz", train_labels=flags, test_labels=flags)
    assert labelled.target.kind is TargetKind.MULTILABEL
    assert labelled.labels[0].value == (("0", 0.0), ("1", 1.0), ("2", 1.0))


def test_numbers_and_nan(tmp_path: Path) -> None:
    numbers = np.array([1.5, 2.25, np.nan, 3, 4.5, 6])
    labelled = labelled_from(tmp_path / "x.npz", train_labels=numbers, test_labels=numbers)
    assert labelled.target.kind is TargetKind.NUMBER
    assert len(labelled.cases) == 10
    assert [ref.name for ref in labelled.unlabelled] == ["x.npz#test/2", "x.npz#train/2"]


def test_a_split_without_labels(tmp_path: Path) -> None:
    labelled = labelled_from(tmp_path / "x.npz", train_labels=np.array([0, 1, 0, 1, 0]))
    assert len(labelled.cases) == 5
    assert len(labelled.unlabelled) == 7


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "a", "b", "a", "b"]),
        np.array([[0, 2], [1, 0]] * 3),
        np.array([{}] * 6, dtype=object),
        np.zeros((6, 2, 2)),
    ],
)
def test_labels_that_make_no_sense(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        labelled_from(tmp_path / "x.npz", train_labels=labels)
    assert caught.value.code == "bad-labels"


def test_no_labels_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No labels were found"):
        labelled_from(tmp_path / "x.npz")
