from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from medloop.cache.pictures import ROW, Pictures
from medloop.dataset import shortcuts
from medloop.prepared.pictures import picture_of
from medloop.types import Array, Case, Dataset, Image, ImageRef, Target, TargetKind

COUNT = 240
PLANTED: dict[str, Callable[[int, int, dict[str, str]], str | None]] = {
    "number in the name": lambda at, label, facts: f"scan {1000 * label + at}.png",
    "pattern of the name": lambda at, label, facts: f"{'ab'[label]}-{at}.png",
    "manufacturer": lambda at, label, facts: facts.update(manufacturer="GE" if (at % 20 < 18) == label else "Siemens"),
    "file size": lambda at, label, facts: facts.update(file_bytes=str(int(facts["file_bytes"]) + 60000 * label)),
    "exposure": lambda at, label, facts: facts.update(exposure="3.5") if label else None,
}


def dataset(values: Array, name_of: Callable[[int, int, dict[str, str]], str | None] | None = None, **given: object) -> Dataset:
    """Cases whose names, sizes and scanners tell nothing, unless ``name_of`` plants something."""
    random = np.random.default_rng(0)
    cases = []
    for at, value in enumerate(np.nan_to_num(values)):
        facts = {"file_bytes": str(random.integers(10000, 90000)), "manufacturer": random.choice(["GE", "Siemens", "Philips"])}
        facts["sop_uid"] = f"1.2.{at}"
        name = (name_of and name_of(at, int(np.ravel(value)[0]), facts)) or f"scan {random.integers(10**6)}.png"
        ref = ImageRef(
            name=f"{['no', 'yes'][int(np.ravel(value)[0] > 0)]}/{name}",
            reader="raster",
            files=(name,),
            facts=tuple(sorted(facts.items())),
        )
        cases.append(Case(name=str(at), images=(ref,)))
    target = Target(TargetKind.BINARY, ("no", "yes"))
    numbers = np.arange(len(cases))
    return Dataset(
        **{"cases": tuple(cases), "target": target, "values": values, "groups": numbers, "patients": numbers,
           "split": np.full(len(cases), "train"), "fingerprint": "", **given},
    )  # fmt: skip


def plain(count: int = COUNT) -> Pictures:
    rows = np.zeros(count, ROW)
    random = np.random.default_rng(1)
    rows["shape"] = 1
    rows["shape"][:, 3:] = random.integers(100, 140, (count, 2))
    for name in ("mean", "std", "low", "high", "border"):
        rows[name] = random.normal(size=count)
    return Pictures(rows)


@pytest.fixture
def labels() -> Array:
    return np.random.default_rng(2).integers(0, 2, COUNT)


def found(data: Dataset, pictures: Pictures | None = None) -> list[str]:
    pictures = plain(len(data.cases)) if pictures is None else pictures
    return [each["from"] for each in shortcuts.find(data, pictures, np.arange(len(data.cases)), 0)]


def test_nothing_is_found_where_nothing_is(labels: Array) -> None:
    assert found(dataset(labels)) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_found_alone(name: str, labels: Array) -> None:
    data = dataset(labels, PLANTED[name])
    (told,) = shortcuts.find(data, plain(), np.arange(COUNT), 0)
    assert told["from"] == name
    assert told["auc"] > 0.8
    assert told["says"].startswith(f"The label can be told from the {name} alone: AUC {told['auc']:.2f}.")


@pytest.mark.parametrize(("name", "field"), [("image size", "shape"), ("brightness of the border", "border")])
def test_sizes_and_borders(name: str, field: str, labels: Array) -> None:
    pictures = plain()
    added = 60 * labels
    pictures.rows[field] += added[:, None] if field == "shape" else added
    assert found(dataset(labels), pictures) == [name]


def test_rows_need_not_stand_in_the_order_of_cases(labels: Array) -> None:
    pictures = plain()
    pictures.rows["border"] += 60 * labels
    told = shortcuts.find(dataset(labels), pictures.select(np.arange(COUNT)[::-1]), np.arange(COUNT)[::-1], 0)
    assert [each["from"] for each in told] == ["brightness of the border"]


def test_test_cases_are_not_looked_at(labels: Array) -> None:
    split = np.where(np.arange(COUNT) % 2 == 0, "train", "test")
    assert found(dataset(labels, lambda at, label, facts: f"{1000 * label * (at % 2) + at % 7}.png", split=split)) == []


def test_what_all_cases_of_a_patient_share_is_no_shortcut(labels: Array) -> None:
    groups = np.arange(COUNT) // 6
    per_patient = np.random.default_rng(3).integers(0, 2, COUNT // 6)[groups]

    def own_scanner(at: int, label: int, facts: dict[str, str]) -> None:
        facts["manufacturer"] = f"scanner {groups[at]}"

    assert found(dataset(per_patient, own_scanner, groups=groups)) == []


def test_the_check_fails_when_cross_validation_is_left_out(labels: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    def own_scanner(at: int, label: int, facts: dict[str, str]) -> None:
        facts["manufacturer"] = f"scanner {at}"

    data = dataset(labels, own_scanner)
    assert found(data) == []
    monkeypatch.setattr(
        shortcuts,
        "_guessed",
        lambda values, truth, groups, seed: shortcuts._means(values, truth, values) if values.ndim == 1 else truth * 0,
    )
    assert "manufacturer" in found(data)


def test_one_class_of_several_and_multi_label_and_numbers() -> None:
    random = np.random.default_rng(5)
    classes = random.integers(0, 4, COUNT)
    pictures = plain()
    pictures.rows["border"] += 60 * (classes == 2)
    data = dataset(classes, target=Target(TargetKind.MULTICLASS, ("a", "b", "c", "d")))
    (told,) = shortcuts.find(data, pictures, np.arange(COUNT), 0)
    assert (told["class"], told["from"]) == ("c", "brightness of the border")
    many = random.integers(0, 2, (COUNT, 2)).astype(np.float32)
    many[:20, 1] = np.nan
    pictures = plain()
    pictures.rows["border"] += 60 * np.nan_to_num(many[:, 1])
    (told,) = shortcuts.find(dataset(many, target=Target(TargetKind.MULTILABEL, ("a", "b"))), pictures, np.arange(COUNT), 0)
    assert (told["class"], told["cases"]) == ("b", COUNT - 20)
    amounts = random.normal(50, 10, COUNT)
    pictures = plain()
    assert found(dataset(amounts, target=Target(TargetKind.NUMBER)), pictures) == []
    pictures.rows["shape"][:, 4] = 5 * amounts
    (told,) = shortcuts.find(dataset(amounts, target=Target(TargetKind.NUMBER)), pictures, np.arange(COUNT), 0)
    assert told["from"] == "image size"
    assert told["correlation"] > 0.9


def test_too_few_cases_tell_nothing() -> None:
    labels = np.repeat([0, 1], 9)
    assert found(dataset(labels, PLANTED["pattern of the name"])) == []


def pictures_of(images: list[Array], *, colour: bool = False) -> Pictures:
    return Pictures.of(
        picture_of(Image(np.moveaxis(each, -1, 0)[None, :, None] if colour else each[None, None, None], colour=colour))
        for each in images
    )


@pytest.mark.shared
def test_the_x_ray_file_has_no_shortcut_in_its_pictures_but_its_order_tells(shared_data: Path) -> None:
    with np.load(shared_data / "pneumoniamnist_rebuilt.npz") as file:
        images, labels = file["train_images"], file["train_labels"][:, 0]
    data = dataset(labels, lambda at, label, facts: facts.clear() or f"x.npz#train/{at}")
    assert found(data, pictures_of(list(images))) == ["number in the name"]


@pytest.mark.shared
def test_the_cell_photographs_stand_in_runs_of_one_class(shared_data: Path) -> None:
    with (shared_data / "wbc" / "Class Labels of Dataset 1.csv").open() as file:
        table = {int(row["image ID"]): int(row["class label"]) for row in csv.DictReader(file) if row["image ID"]}
    files = sorted((shared_data / "wbc").rglob("*.bmp"))
    images = [np.asarray(PIL.Image.open(file).convert("RGB")) for file in files]
    labels = np.array([table[int(file.stem)] - 1 for file in files])
    target = Target(TargetKind.MULTICLASS, ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"))
    data = dataset(
        labels,
        lambda at, label, facts: facts.update(file_bytes=str(files[at].stat().st_size), manufacturer="") or files[at].name,
        target=target,
    )
    assert found(data, pictures_of(images, colour=True)) == ["number in the name"]
