"""Labels of real collections."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.labels import read
from medloop.readers import collect
from medloop.requests import SourceRequest
from medloop.types import Split

pytestmark = pytest.mark.shared


def test_white_blood_cells(shared_data: Path) -> None:
    source = shared_data / "wbc"
    request = SourceRequest(src=str(source), labels=str(source / "Class Labels of Dataset 1.csv"), images="*.bmp")
    with Compute(0) as compute:
        labelled = read(collect(source, images=request.images, compute=compute), request)
    assert Counter(label.value for label in labelled.labels) == {"1": 176, "2": 53, "3": 48, "4": 22, "5": 1}
    assert labelled.problems == []
    assert {each["column"]: each["read_as"] for each in labelled.columns} == {"image ID": "image", "class label": "label"}


def test_white_blood_cells_with_masks_beside_are_ambiguous(shared_data: Path) -> None:
    source = shared_data / "wbc"
    with Compute(0) as compute, pytest.raises(InputError, match="2 images fit") as caught:
        read(collect(source, compute=compute), SourceRequest(src=str(source)))
    assert "--images" in caught.value.fix


def test_pneumonia(shared_data: Path) -> None:
    source = shared_data / "pneumoniamnist_rebuilt.npz"
    with Compute(0) as compute:
        labelled = read(collect(source, compute=compute), SourceRequest(src=str(source)))
    assert Counter(case.given_split for case in labelled.cases) == {Split.TRAIN: 4708, Split.VAL: 524, Split.TEST: 624}
    assert labelled.target.classes == ("0", "1")


def test_masks_of_white_blood_cells(shared_data: Path, read_folder, problems) -> None:
    source = shared_data / "wbc"
    table = str(source / "Class Labels of Dataset 1.csv")
    found = read_folder(source, images="*.bmp", masks="*.png", mask_classes="128=cytoplasm,255=nucleus", labels=table)
    assert len(found.cases) == 300
    assert found.further[0].known.all()
    assert [(each["class"], each["cases"]) for each in found.found] == [("cytoplasm", 300), ("nucleus", 300)]
    assert problems(found) == []


def test_boxes_of_blood_smears(shared_data: Path, read_folder, problems) -> None:
    source = shared_data / "bccd"
    lists = ",".join(str(source / "ImageSets" / "Main" / f"{name}.txt") for name in ("train", "val"))
    found = read_folder(source, split_lists=lists)
    assert {each["class"]: each["count"] for each in found.found} == {"Platelets": 292, "RBC": 3348, "WBC": 301}
    assert Counter(case.given_split for case in found.cases) == {Split.TRAIN: 205, Split.VAL: 87}
    assert [each.partition(":")[0] for each in problems(found)] == [
        "Annotations/BloodImage_00338.xml",
        "Annotations/BloodImage_00343.xml",
    ]


def test_masks_of_volumes_in_folders_of_patients(shared_data: Path, read_folder, problems) -> None:
    found = read_folder(shared_data / "open_ms", images="FLAIR*", masks="GOLD*", mask_classes="1=lesion")
    assert [case.patient for case in found.cases] == ["patient19", "patient26"]
    assert found.further[0].known.all()
    assert problems(found) == []
