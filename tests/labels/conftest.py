"""Collections and tables as tests need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image as pil
import pytest

from medloop.compute import Compute
from medloop.labels import Labelled, Using, read
from medloop.readers import Collection, collect
from medloop.requests import SourceRequest
from medloop.types import ImageRef

Make = Callable[..., Collection]
Read = Callable[..., Labelled]


def ref_of(name: str, **known: object) -> ImageRef:
    """A reference to an image that no test opens."""
    return ImageRef(name=name, reader="raster", files=(f"/data/{name}",), shape=(1, 1, 1, 8, 8), stamp=name, **known)  # type: ignore[arg-type]


@pytest.fixture
def collection() -> Make:
    """Makes a collection from names or references."""

    def make(images: Iterable[str | ImageRef], tables: Iterable[Path] = ()) -> Collection:
        refs = tuple(ref_of(each) if isinstance(each, str) else each for each in images)
        return Collection(Path("/data"), refs, (), tuple(ref.name for ref in refs), (), tuple(tables), ())

    return make


@pytest.fixture
def read_table(tmp_path: Path, collection: Make) -> Read:
    """Reads a table, given as text or bytes, for images given by name."""

    def labelled(content: str | bytes, images: Iterable[str | ImageRef], name: str = "labels.csv", **flags: str) -> Labelled:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return read(collection(images), SourceRequest(src="/data", labels=str(path), **flags))  # type: ignore[arg-type]

    return labelled


@pytest.fixture
def values() -> Callable[[Labelled], dict[str, object]]:
    """Label values by case name."""
    return lambda labelled: {label.case: label.value for label in labelled.labels}


@pytest.fixture
def read_folder() -> Read:
    """Reads the labels of a real folder: ``read_folder(folder, masks='*_mask.png', ...)``."""

    def labelled(folder: Path, *, cache: Path | None = None, **flags: str) -> Labelled:
        request = SourceRequest(src=str(folder), **flags)  # type: ignore[arg-type]
        with Compute(0) as compute:
            found = collect(folder, images=request.images, masks=request.masks, compute=compute)
            return read(found, request, Using(compute=compute, cache=cache))

    return labelled


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """Writes a picture: grey ``(Y, X)`` or colours ``(Y, X, 3)``."""

    def write(path: Path, pixels: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pil.fromarray(np.asarray(pixels, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def write_volume() -> Callable[..., Path]:
    """Writes a NIfTI volume from voxels ``(X, Y, Z)`` and the diagonal or whole of its RAS affine."""

    def write(path: Path, voxels: object, affine: object = (-1, -1, 2, 1)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        given = np.asarray(affine, dtype=np.float64)
        nibabel.save(nibabel.Nifti1Image(np.asarray(voxels), np.diag(given) if given.ndim == 1 else given), path)
        return path

    return write


@pytest.fixture
def problems() -> Callable[[Labelled], list[str]]:
    """Every problem as one text."""
    return lambda found: [f"{each['name']}: {each['problem']}" for each in found.problems]
