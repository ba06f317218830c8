"""Class folders in the shapes people keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop.errors import InputError
from medloop.labels import read
from medloop.requests import SourceRequest
from medloop.types import ImageRef, Split, TargetKind

SRC = SourceRequest(src="/data")


def images(*folders: str, count: int = 3) -> list[str]:
    return [f"{folder}/{n}.png" for folder in folders for n in range(count)]


def test_class_folders(collection, values) -> None:
    labelled = read(collection([*images("Tumour", "normal"), "loose.png"]), SRC)
    assert labelled.target.kind is TargetKind.BINARY
    assert labelled.target.classes == ("normal", "Tumour")
    assert values(labelled)["Tumour/1.png"] == "Tumour"
    assert [ref.name for ref in labelled.unlabelled] == ["loose.png"]
    assert labelled.problems == [{"row": None, "name": "loose.png", "problem": "it lies in no class folder"}]
    assert all(case.given_split is None for case in labelled.cases)


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("train", "test"), ("TRAIN", "Test"), ("training_set", "test_set")]
)
@pytest.mark.parametrize("top", ["", "brain/data/"])
def test_split_folders_above(collection, train: str, test: str, top: str) -> None:
    labelled = read(
        collection(images(f"{top}{train}/glioma", f"{top}{train}/none", f"{top}{test}/glioma", f"{top}{test}/none")), SRC
    )
    assert labelled.target.classes == ("none", "glioma")
    assert [case.given_split for case in labelled.cases] == [Split.TRAIN] * 6 + [Split.TEST] * 6
    assert "given split" in labelled.layout


def test_validation_folders(collection) -> None:
    for word in ("val", "valid", "Validation"):
        labelled = read(collection(images("train/a", "train/b", f"{word}/a", f"{word}/b")), SRC)
        assert [case.given_split for case in labelled.cases] == [Split.TRAIN] * 6 + [Split.VAL] * 6


def test_patients_below_the_class_are_kept_together(collection) -> None:
    labelled = read(collection(images("sick/patient_1", "sick/patient_2", "well/patient_3", "well/patient_4")), SRC)
    assert labelled.target.classes == ("sick", "well")
    assert [case.patient for case in labelled.cases][::3] == ["patient_1", "patient_2", "patient_3", "patient_4"]
    assert "patients" in labelled.layout


def test_spellings_of_one_class_in_two_splits(collection) -> None:
    labelled = read(collection(images("train/Normal", "train/sick", "test/normal", "test/sick")), SRC)
    assert labelled.target.classes == ("Normal", "sick")


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "2.png", "3.png"],
        images("only"),
        images("patient_1", "patient_2", "patient_3"),
        [f"{n}/scan.png" for n in range(20)],
    ],
)
def test_folders_that_are_no_classes(collection, names: list[str]) -> None:
    with pytest.raises(InputError, match="No labels were found") as caught:
        read(collection(names), SRC)
    for way in ("--labels", "folder for each class", ".npz"):
        assert way in caught.value.allowed


def test_a_folder_for_each_known_patient_is_no_class(collection) -> None:
    refs = [
        ImageRef(name=f"f{n}/s{part}.dcm", reader="dicom", files=("/x",), patient=f"P{n}") for n in range(4) for part in range(3)
    ]
    with pytest.raises(InputError, match="No labels were found"):
        read(collection(refs), SRC)


def test_a_series_lies_in_its_folder(collection) -> None:
    refs = [
        ImageRef(name=f"{kind}/p{n}#1.2", reader="dicom", files=("/x", "/y"), patient=f"{kind}{n}")
        for kind in "ab"
        for n in range(3)
    ]
    assert read(collection(refs), SRC).target.classes == ("a", "b")


def test_split_lists(collection, tmp_path: Path) -> None:
    (tmp_path / "my_train.txt").write_text("sick/0.png\nsick/1\nwell/0.png\n\nwell/1.png\nnobody.png\n")
    (tmp_path / "val.txt").write_text("sick/2.png\nwell/2.png\n")
    lists = f"{tmp_path / 'my_train.txt'},{tmp_path / 'val.txt'}"
    labelled = read(collection(images("sick", "well", count=4)), SourceRequest(src="/data", split_lists=lists))
    train, val = Split.TRAIN, Split.VAL
    assert [case.given_split for case in labelled.cases] == [train, train, val, None, train, train, val, None]
    problem = "no labelled image has this name (my_train.txt)"
    assert labelled.problems == [{"row": 6, "name": "nobody.png", "problem": problem}]


@pytest.mark.parametrize(("name", "text"), [("cases.txt", "sick/0.png"), ("train.txt", "nobody"), ("train.txt", "")])
def test_split_lists_that_cannot_be_used(collection, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read(collection(images("sick", "well")), SourceRequest(src="/data", split_lists=str(tmp_path / name)))
    assert caught.value.code == "bad-split-lists"


def test_a_case_in_two_lists_is_an_error(collection, tmp_path: Path) -> None:
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("sick/0.png\n")
    lists = f"{tmp_path / 'train.txt'},{tmp_path / 'test.txt'}"
    with pytest.raises(InputError, match="both"):
        read(collection(images("sick", "well")), SourceRequest(src="/data", split_lists=lists))
