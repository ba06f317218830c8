"""What every label format does, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop import registry
from medloop.readers import Collection
from medloop.requests import SourceRequest
from medloop.types import ImageRef

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
def test_a_format_finds_nothing_where_there_is_nothing(name: str) -> None:
    assert registry.load("labels", name).find(bare(), SourceRequest(src="/data")) is None


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_opens_no_image(name: str) -> None:
    assert registry.load("labels", name).opens(Path("scan.png")) is False
