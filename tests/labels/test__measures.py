"""Columns of measures."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.types import TargetKind

IMAGES = [f"{number}.png" for number in range(1, 41)]


def table(**changed):
    """Forty rows with a class, two measures and a shape; ``changed``: rows by ``row_2`` and so on."""
    rows = [f"{n},{'ab'[n % 2]},{10 + n * 0.37:.2f},{n * 1.1:.2f},{n % 3}" for n in range(1, 41)]
    for name, text in changed.items():
        rows[int(name.removeprefix("row_")) - 1] = text
    return "id,grade,diameter_mm,volume_ml,lobes\n" + "\n".join(rows)


def test_columns_of_numbers_are_measures_with_their_units(read_table):
    found = read_table(
        table(row_2="2,a,,4.5,1", row_3="3,b,oops,3.5,0", row_4="4,a,,,2"), IMAGES, label_columns="diameter_mm,volume_ml"
    )
    assert found.target.kind is TargetKind.MEASURES
    assert found.target.classes == ("diameter_mm", "volume_ml")
    assert found.target.units == ("mm", "ml")
    (truth,) = found.further
    assert len(found.cases) == 39
    np.testing.assert_allclose(truth.numbers[:3], [[10.37, 1.1], [np.nan, 4.5], [np.nan, 3.5]])
    assert truth.known.all()
    assert {label.value for label in found.labels} == {""}
    assert [(each["row"], each["problem"]) for each in found.problems][:2] == [
        (4, "'oops' in column 'diameter_mm' is no number"),
        (5, "the label is empty"),
    ]
    assert found.found[0] == {"target": "measures", "class": "diameter_mm", "cases": 37, "count": 37, "of": "values"}


def test_measures_stand_beside_a_class(read_table):
    found = read_table(table(row_2="2,,12.5,4.5,1", row_3="3,b,,,0"), IMAGES, label_columns="grade,diameter_mm,volume_ml")
    assert found.target.kind is TargetKind.BINARY
    assert [label.value for label in found.labels][:4] == ["b", "", "b", "a"]
    assert found.further[0].known.tolist()[:4] == [True, True, False, True]
    assert "are measures" in found.layout


def test_a_single_column_is_a_number_and_a_measure(read_table):
    found = read_table(table(), IMAGES, label_columns="diameter_mm")
    assert found.target.kind is TargetKind.NUMBER
    assert found.further[0].target.classes == ("diameter_mm",)
    np.testing.assert_allclose(found.further[0].numbers[:, 0], [label.value for label in found.labels])


def test_small_whole_numbers_with_a_unit_are_measures_and_without_are_classes(read_table):
    text = table().replace("lobes", "stenosis_percent")
    found = read_table(text, IMAGES, label_columns="stenosis_percent,volume_ml")
    assert found.target.classes == ("stenosis_percent", "volume_ml")
    assert found.target.units == ("percent", "ml")
    assert read_table(table(), IMAGES, label_columns="lobes,volume_ml").target.classes == ("0", "1", "2")


def test_rows_that_contradict_each_other_in_a_measure_are_left_out(read_table):
    found = read_table(table() + "\n1,b,99,1.1,1", IMAGES, label_columns="grade,diameter_mm")
    assert "1.png" not in {case.name for case in found.cases}
    assert any("give different labels" in each["problem"] for each in found.problems)


def test_columns_of_classes_are_no_measures(read_table):
    with pytest.raises(InputError) as caught:
        read_table(table(), IMAGES, label_columns="grade,lobes")
    assert caught.value.code == "bad-label-columns"
