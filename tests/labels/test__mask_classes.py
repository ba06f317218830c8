"""What the values of masks mean."""

from __future__ import annotations

import pytest

from medloop.errors import InputError
from medloop.labels._mask_classes import by_themselves, lookup, nameless, parse, target_of
from medloop.types import UNKNOWN


def test_names_in_the_order_given_and_one_name_for_several_values():
    meanings = parse("2=kidney, 1=liver,3=kidney,4=background,5=ignore")
    assert target_of(meanings).classes == ("kidney", "liver")
    assert dict(lookup(meanings, [0, 1, 2, 3, 4, 5, 6])) == {-1: UNKNOWN, 0: 0, 1: 2, 2: 1, 3: 1, 4: 0, 5: UNKNOWN, 6: UNKNOWN}
    assert nameless(meanings, [0, 1, 6]) == [6]


def test_the_rest_and_zero_can_be_named():
    assert dict(lookup(parse("1=a,*=b"), [1, 9])) == {-1: UNKNOWN, 0: 0, 1: 1, 9: 2}
    assert dict(lookup(parse("0=tissue,255=background"), [0, 255])) == {-1: UNKNOWN, 0: 1, 255: 0}


def test_a_table_of_values(tmp_path):
    (tmp_path / "values.csv").write_text("value,name\n0,other\n1,liver\n11,tumour\n")
    meanings = parse(str(tmp_path / "values.csv"))
    assert target_of(meanings).classes == ("liver", "tumour")
    assert dict(lookup(meanings, [1, 11])) == {-1: UNKNOWN, 0: 0, 1: 1, 11: 2}


def test_values_by_themselves_keep_their_numbers():
    assert target_of(by_themselves([0, 7, 2, 0x1FF0000])).classes == ("2", "7", "#ff0000")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("128", "not VALUE=NAME"),
        ("128=,2=b", "not VALUE=NAME"),
        ("red=tumour", "is no value"),
        ("-1=tumour", "is no value"),
        ("#ff00=tumour", "is no value"),
        ("1=a,1=b", "twice"),
        ("1=background", "names no class"),
        (",".join(f"{value}=c{value}" for value in range(1, 300)), "the limit"),
    ],
)
def test_what_makes_no_sense_is_told(text, told):
    with pytest.raises(InputError, match=told) as caught:
        target_of(parse(text))
    assert caught.value.code == "bad-mask-classes"
