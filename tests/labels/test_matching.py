"""What a table can call an image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medloop.labels._matching import Matcher
from medloop.types import ImageRef


def matcher(*names: str) -> Matcher:
    return Matcher([ImageRef(name=name, reader="raster", files=(name,)) for name in names])


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ("a/b/img_001.png", "path"),
        ("b/img_001.png", "path"),
        ("img_001.png", "path"),
        ("./a/b/img_001.png", "path"),
        ("a\\b\\img_001.png", "path"),
        ("C:\\data\\a\\b\\img_001.png", "path"),
        ("/home/me/a/b/img_001.png", "path"),
        ("img_001", "stem"),
        ("img_001.jpg", "stem"),
        ("IMG_001.PNG", "loose"),
        ("img_1", "loose"),
    ],
)
def test_names_of_one_image(value: str, way: str) -> None:
    match = matcher("a/b/img_001.png", "a/b/img_010.png").find(value)
    assert (match.found, match.way) == ((0,), way)


@pytest.mark.parametrize("value", ["c/b/img_001.png", "mg_001.png", "img_0001x", "", "other/img_001.png"])
def test_what_names_no_image(value: str) -> None:
    assert matcher("a/b/img_001.png").find(value).found == ()


def test_numbers_meet_names_with_leading_zeros() -> None:
    found = matcher("001.bmp", "010.bmp", "100.bmp")
    assert [found.find(value).found for value in ("1", "10", "100", "1.0", "0001")] == [(0,), (1,), (2,), (0,), (0,)]


def test_the_more_exact_name_wins() -> None:
    found = matcher("1.png", "01.png", "x/1.png")
    assert found.find("01").found == (1,)
    assert found.find("x/1.png").found == (2,)
    assert found.find("1.png").ambiguous


def test_identities_from_headers() -> None:
    refs = [
        ImageRef(name=f"d/{n}#s", reader="dicom", files=("/x",), patient="P9", study="1.2", series=f"1.2.{n}") for n in range(3)
    ]
    found = Matcher(refs)
    assert found.find("1.2.1").found == (1,)
    assert found.find("1.2").found == found.find("P9").found == found.find("d").found == (0, 1, 2)
    assert not found.find("P9").ambiguous
    single = ImageRef(name="a.dcm", reader="dicom", files=("/x",), facts=(("sop_uid", "1.2.9"),))
    assert Matcher([single]).find("1.2.9").found == (0,)


def test_several_part_extensions() -> None:
    assert matcher("sub-01/brain.nii.gz").find("brain").found == (0,)


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=30, unique=True), st.integers(4, 6))
def test_every_padded_number_finds_its_file(numbers: list[int], width: int) -> None:
    found = matcher(*(f"{number:0{width}}.png" for number in numbers))
    assert [found.find(str(number)).found for number in numbers] == [(place,) for place in range(len(numbers))]
