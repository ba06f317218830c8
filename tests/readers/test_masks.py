"""Masks are told apart from images when a source is read."""

from __future__ import annotations

import numpy as np
import PIL.Image as pil
import pytest

from medloop.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """``data`` with two pictures and their masks, ``aside`` with others."""
    for name in ("data/a.bmp", "data/b.bmp", "data/a.png", "data/masks/b.png", "aside/a.png", "aside/notes.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pil.fromarray(np.zeros((4, 5), np.uint8)).save(path)
    return tmp_path


def names(refs):
    return [ref.name for ref in refs]


def test_what_masks_names_is_no_image(folder, gather):
    found = gather(folder / "data", masks="*.png")
    assert names(found.refs) == ["a.bmp", "b.bmp"]
    assert names(found.masks) == ["a.png", "masks/b.png"]
    assert found.rejected == ()


def test_masks_go_before_images(folder, gather):
    found = gather(folder / "data", masks="masks/*", images="*")
    assert names(found.refs) == ["a.bmp", "a.png", "b.bmp"]
    assert names(found.masks) == ["masks/b.png"]


def test_several_patterns(folder, gather):
    assert names(gather(folder / "data", masks="a.png,masks/*.png").masks) == ["a.png", "masks/b.png"]
    assert names(gather(folder / "data", images="a.bmp,b.*").refs) == ["a.bmp", "b.bmp", "masks/b.png"]


@pytest.mark.parametrize("pattern", ["{}/aside/a*.png", "{}/aside/[a]*"])
def test_masks_outside_the_source(folder, gather, pattern):
    found = gather(folder / "data", masks=pattern.format(folder), images="*.bmp")
    assert names(found.masks) == ["../aside/a.png"]
    assert "../aside/a.png" not in found.files


def test_a_folder_of_masks_by_its_own_path(folder, gather, monkeypatch):
    monkeypatch.chdir(folder)
    assert names(gather(folder / "data", masks="aside", images="*.bmp").masks) == ["../aside/a.png", "../aside/notes.png"]
    assert names(gather(folder / "data", masks=str(folder / "data" / "masks")).masks) == ["masks/b.png"]


@pytest.mark.parametrize("pattern", ["*.tif", "nowhere/*.png", "/no/such/folder"])
def test_a_pattern_that_fits_nothing_is_refused(folder, gather, pattern):
    with pytest.raises(InputError) as caught:
        gather(folder / "data", masks=pattern)
    assert caught.value.code == "no-masks"


def test_only_masks_are_no_source(folder, gather):
    with pytest.raises(InputError) as caught:
        gather(folder / "aside", masks="*.png")
    assert caught.value.code == "no-images"
