"""What every label format does, whoever wrote it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image as pil
import pytest

from medloop import readers, registry
from medloop.compute import Compute
from medloop.labels import Labelled, Using
from medloop.readers import Collection, collect
from medloop.requests import SourceRequest
from medloop.types import ImageRef, TargetKind
from tests.segs import write_seg, write_series

FORMATS = registry.names("labels")


def bare() -> Collection:
    refs = tuple(ImageRef(name=f"{n}.png", reader="raster", files=(f"/data/{n}.png",)) for n in range(4))
    return Collection(Path("/data"), refs, (), tuple(ref.name for ref in refs), (), (), ())


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_when_it_is_tried_and_how_it_is_given(name: str) -> None:
    module = registry.load("labels", name)
    assert isinstance(module.ORDER, int)
    assert module.EXAMPLE.strip()
    assert module.__doc__


def test_no_two_formats_are_tried_at_once() -> None:
    orders = [registry.load("labels", name).ORDER for name in FORMATS]
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_whether_it_may_stand_beside_classes(name: str) -> None:
    assert registry.load("labels", name).STRUCTURED in (True, False)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_finds_nothing_where_there_is_nothing(name: str) -> None:
    assert registry.load("labels", name).find(bare(), SourceRequest(src="/data")) is None


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_opens_no_image(name: str) -> None:
    assert registry.load("labels", name).opens(Path("scan.png")) is False


MASK = np.zeros((6, 8), np.uint8)
MASK[1:3, 2:5] = 1


def _pictures(folder: Path, ending: str = ".png") -> None:
    for name in "abc":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pil.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(folder / f"{name}{ending}")


def _table(folder: Path) -> SourceRequest:
    _pictures(folder)
    (folder / "labels.csv").write_text("image,class\na,x\nb,y\n")
    return SourceRequest(src=str(folder))


def _folders(folder: Path) -> SourceRequest:
    _pictures(folder / "ill")
    _pictures(folder / "well")
    pil.fromarray(MASK).save(folder / "alone.png")
    return SourceRequest(src=str(folder))


def _npz(folder: Path) -> SourceRequest:
    np.savez(folder / "m.npz", train_images=np.zeros((3, 6, 8), np.uint8), train_labels=np.array([[0], [1], [0]]))
    return SourceRequest(src=str(folder / "m.npz"))


def _masks(folder: Path) -> SourceRequest:
    _pictures(folder, ".bmp")
    for name in "ab":
        pil.fromarray(MASK).save(folder / f"{name}_mask.png")
    return SourceRequest(src=str(folder), masks="*_mask.png")


def _voc(folder: Path) -> SourceRequest:
    _pictures(folder)
    box = "<object><name>x</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object>"
    for name in "ab":
        (folder / f"{name}.xml").write_text(f"<annotation>{box if name == 'a' else ''}</annotation>")
    return SourceRequest(src=str(folder))


def _coco(folder: Path) -> SourceRequest:
    _pictures(folder)
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 3, 2], "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}
    images = [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]
    (folder / "x.json").write_text(json.dumps({"images": images, "categories": [{"id": 1, "name": "x"}], "annotations": [box]}))
    return SourceRequest(src=str(folder))


def _nnunet(folder: Path) -> SourceRequest:
    for name in ("imagesTr/a_0000", "imagesTr/b_0000", "imagesTs/c_0000", "labelsTr/a", "labelsTr/b"):
        (folder / name).parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(MASK.T[..., None].repeat(2, axis=2), np.eye(4)), folder / f"{name}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}}))
    return SourceRequest(src=str(folder))


def _seg(folder: Path) -> SourceRequest:
    for name in ("1.5", "1.6", "1.7"):
        write_series(folder / name, name)
    for name in ("1.5", "1.6"):
        write_seg(folder / f"seg{name}.dcm", name, {1: "x"}, [(1, 1, MASK[:, :5])])
    return SourceRequest(src=str(folder))


SAMPLES: dict[str, Callable[[Path], SourceRequest]] = {
    "table": _table, "folders": _folders, "npz": _npz, "masks": _masks, "voc": _voc, "coco": _coco, "nnunet": _nnunet, "seg": _seg,
}  # fmt: skip
"""A sample of each format, with an image that has no label in all but the npz; a new format needs one here."""


@pytest.fixture(params=FORMATS)
def found(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Collection, Labelled]:
    asked = SAMPLES[request.param](tmp_path)
    with Compute(0) as compute:
        collection = collect(asked.src, masks=asked.masks, compute=compute)
        return request.param, collection, registry.load("labels", request.param).find(collection, asked, Using(compute=compute))


def _keeps_its_word(labelled: Labelled) -> None:
    assert len(labelled.labels) == len(labelled.cases) > 0
    for label, case in zip(labelled.labels, labelled.cases, strict=True):
        assert label.case == case.name
        assert label.target == labelled.target.name
    for truth in labelled.further:
        assert len(truth) == len(labelled.cases)
        assert truth.known.any()
        rows = {TargetKind.MASKS: truth.masks, TargetKind.BOXES: truth.boxes, TargetKind.MEASURES: truth.numbers}[truth.target.kind]
        assert len(rows) == len(labelled.cases)
        values = [number for _, number in truth.lookup]
        assert all(number <= len(truth.target.classes) or number == 255 for number in values)
        for case, mask, known in zip(labelled.cases, truth.masks, truth.known, strict=False):
            assert (mask is not None) == known
            assert mask is None or readers.read(mask).pixels.shape[2:] == case.images[0].shape[2:]
        for boxes, classes in zip(truth.boxes, truth.box_classes, strict=True):
            assert boxes.shape == (len(classes), 6)
            assert (boxes[:, :3] < boxes[:, 3:]).all()


def test_labels_cases_and_truths_have_one_order(found: tuple[str, Collection, Labelled]) -> None:
    name, collection, labelled = found
    _keeps_its_word(labelled)
    assert labelled.target.kind.structured is registry.load("labels", name).STRUCTURED
    assert bool(labelled.further) is registry.load("labels", name).STRUCTURED
    assert labelled.layout.endswith(".")
    assert [case.name for case in labelled.cases] == [ref.name for ref in collection.refs if ref not in labelled.unlabelled]


def test_images_without_labels_are_told(found: tuple[str, Collection, Labelled]) -> None:
    name, _, labelled = found
    assert len(labelled.unlabelled) == (0 if name == "npz" else 1)
    assert {ref.name for ref in labelled.unlabelled} <= {each["name"] for each in labelled.problems}


def test_a_broken_word_would_be_caught(found: tuple[str, Collection, Labelled]) -> None:
    _, _, labelled = found
    wrong = [dataclasses.replace(labelled, cases=labelled.cases[::-1])]
    if labelled.further:
        short = labelled.further[0].select(range(1, len(labelled.cases)))
        wrong.append(dataclasses.replace(labelled, further=(short,)))
    for each in wrong:
        with pytest.raises((AssertionError, ValueError)):
            _keeps_its_word(each)
