"""Every reader keeps the same promises: header-only scans that JSON can say, axes, types, digests, reasons."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image as pil
import pydicom
import pytest
from pydicom.data import get_testdata_file

from medloop import readers, registry
from medloop.compute import Compute
from medloop.errors import InputError, Unreadable
from medloop.readers import _scan
from medloop.types import Image, ImageRef

RANDOM = np.random.default_rng(5)


def _dicom(folder: Path) -> Path:
    data = pydicom.dcmread(str(get_testdata_file("MR_small.dcm", download=False)))
    for number in range(3):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        data.ImagePositionPatient, data.InstanceNumber = [0, 0, 2 * number], number
        data.save_as(folder / f"{number}.dcm")
    return folder


def _nifti(folder: Path) -> Path:
    nibabel.save(
        nibabel.Nifti1Image(RANDOM.normal(size=(7, 6, 5)).astype(np.float32), np.diag([-1, -2, 3, 1])), folder / "v.nii.gz"
    )
    return folder


def _npz(folder: Path) -> Path:
    np.savez_compressed(
        folder / "m.npz", train_images=RANDOM.integers(0, 255, (9, 12, 14, 3), np.uint8), train_labels=np.zeros((9, 1))
    )
    return folder


def _raster(folder: Path) -> Path:
    pil.fromarray(RANDOM.integers(0, 255, (30, 20, 3), np.uint8)).save(folder / "c.png")
    pil.fromarray(RANDOM.integers(0, 65535, (30, 20), np.uint16)).save(folder / "d.tif")
    return folder


def _channels(folder: Path) -> Path:
    for case, kind in (("a", np.float32), ("b", np.int16)):
        (folder / case).mkdir()
        for name in ("t1", "t2"):
            voxels = RANDOM.normal(scale=50, size=(7, 6, 5)).astype(kind)
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1, -2, 3, 1])), folder / case / f"{name}.nii.gz")
    return folder


SAMPLES = {"dicom": _dicom, "nifti": _nifti, "npz": _npz, "raster": _raster, "channels": _channels}
JOINED = {"channels": readers.Channels((("t1", "t1*"), ("t2", "t2*")))}
"""Readers of what others find, put together once all is found."""


DERIVED = {"coco", "labelmap", "outline", "seg"}
"""Readers of what other readers find, or labels name: they take no file."""


@pytest.fixture(params=[name for name in registry.names("readers") if name not in DERIVED])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, readers.Collection]:
    """A collection of files of one reader; a new reader needs a sample here."""
    folder = tmp_path / "data"
    folder.mkdir()
    SAMPLES[request.param](folder)
    with Compute(workers=0) as compute:
        collection = readers.collect(folder, compute=compute)
        if request.param in JOINED:
            collection = readers.join(collection, JOINED[request.param], compute=compute)
        return request.param, collection


def _keeps_its_word(ref: ImageRef, image: Image) -> None:
    assert image.pixels.shape == ref.shape
    assert image.pixels.ndim == 5
    assert image.pixels.dtype == np.dtype(ref.dtype)
    assert image.pixels.dtype.isnative
    assert image.pixels.flags.c_contiguous
    assert image.spacing_mm == ref.spacing_mm
    assert image.colour == ref.colour == (ref.shape[1] == 3)
    assert image.modality == ref.modality
    if image.affine_lps is not None:
        assert image.affine_lps.shape == (4, 4)
        assert image.spacing_mm == pytest.approx(tuple(np.linalg.norm(image.affine_lps[:3, :3], axis=0)[::-1]), rel=1e-5)


def test_images_are_what_their_references_say(found):
    name, collection = found
    assert collection.refs
    for ref, image in zip(collection.refs, readers.read_many(collection.refs), strict=True):
        assert ref.reader == name
        assert isinstance(image, Image)
        _keeps_its_word(ref, image)
        assert readers.digest(ref) == readers.digest_of(image)


def test_a_broken_word_would_be_caught(found):
    _, collection = found
    ref, image = collection.refs[0], readers.read(collection.refs[0])
    wrong = [
        dataclasses.replace(image, pixels=np.swapaxes(image.pixels, 3, 4)[..., ::-1]),
        dataclasses.replace(image, pixels=image.pixels.astype(np.complex64)),
        dataclasses.replace(image, spacing_mm=(9.0, 9.0, 9.0)),
        dataclasses.replace(image, colour=not image.colour),
    ]
    for each in wrong:
        with pytest.raises(AssertionError):
            _keeps_its_word(ref, each)


def test_names_and_stamps_are_unique_and_sorted_facts_are_text(found):
    _, collection = found
    assert len({ref.name for ref in collection.refs}) == len(collection.refs) == len({ref.stamp for ref in collection.refs})
    for ref in collection.refs:
        assert list(ref.facts) == sorted(ref.facts)
        assert all(isinstance(value, str) and value for _, value in ref.facts)
        assert {"rows", "columns", "bits", "format"} <= {key for key, _ in ref.facts}
        assert all(Path(path).is_absolute() for path in ref.files)


def test_scans_are_json_and_decode_nothing(found):
    name, collection = found
    module = registry.load("readers", name)
    assert isinstance(module.VERSION, int)
    path = Path(collection.refs[0].files[0])
    reader, text = _scan.scan(str(path))
    if name in JOINED:
        assert not module.claims(path.read_bytes()[: _scan.HEAD_BYTES], path)
        return
    assert reader == name
    assert json.loads(text) == json.loads(json.dumps(module.scan(path, path.read_bytes()[: _scan.HEAD_BYTES])))


def test_a_reference_is_small(found):
    _, collection = found
    for ref in collection.refs:
        texts = sum(len(key) + len(value) + 160 for key, value in ref.facts) + sum(len(path) + 60 for path in ref.files)
        assert texts / len(ref.files) < 6000


def test_a_file_gone_or_cut_off_is_a_reason(found):
    _, collection = found
    ref = collection.refs[0]
    path = Path(ref.files[-1])
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b""):
        path.write_bytes(broken)
        assert isinstance(next(iter(readers.read_many([ref]))), Unreadable)
    path.unlink()
    with pytest.raises(Unreadable):
        readers.read(ref)
    with Compute(workers=0) as compute, pytest.raises(InputError):
        readers.collect(path, compute=compute)
