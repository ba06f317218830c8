"""Collections and tables as tests need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from medloop.labels import Labelled, read
from medloop.readers import Collection
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
