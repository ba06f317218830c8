from __future__ import annotations

import pytest

from medloop.errors import InputError
from medloop.labels import read, table
from medloop.requests import SourceRequest
from medloop.types import TargetKind

NAMES = [f"ISIC_{number:07}" for number in range(12)]
IMAGES = [f"ISIC_2019_Training_Input/{name}.jpg" for name in NAMES]
TRUTH = "ISIC_2019_Training_GroundTruth.csv"
FACTS = "ISIC_2019_Training_Metadata.csv"


def _truth(more=""):
    cells = [f"{name},{number % 2}.0,{1 - number % 2}.0,0.0{more}" for number, name in enumerate(NAMES)]
    return "\n".join([f"image,MEL,NV,UNK{',score_weight,validation_weight' if more else ''}", *cells]) + "\n"


def _facts():
    cells = [
        f"{name},{30 + number}.0,anterior torso,{f'BCN_{number // 2}' if number < 8 else ''},female"
        for number, name in enumerate(NAMES)
    ]
    return "\n".join(["image,age_approx,anatom_site_general,lesion_id,sex", *reversed(cells)]) + "\n"


@pytest.fixture
def isic(tmp_path):
    (tmp_path / TRUTH).write_text(_truth())
    (tmp_path / FACTS).write_text(_facts())
    return tmp_path


def _read(folder, collection, *, named=True):
    found = collection(IMAGES, [] if named else sorted(folder.glob("*.csv")))
    return read(found, SourceRequest(src="/data", labels=str(folder / TRUTH) if named else None))


@pytest.mark.parametrize("named", [True, False], ids=["named", "found in the folder"])
def test_lesions_of_the_second_table_keep_pictures_together(isic, collection, values, named):
    labelled = _read(isic, collection, named=named)
    assert labelled.target.kind is TargetKind.MULTICLASS
    assert labelled.target.classes == ("MEL", "NV", "UNK")
    assert values(labelled)[IMAGES[1]] == "MEL"
    assert [case.group for case in labelled.cases] == [*(f"BCN_{number // 2}" for number in range(8)), None, None, None, None]
    assert labelled.cases[3].attribute("age_band") == "30-39"
    assert labelled.cases[3].attribute("sex") == "F"
    assert FACTS in labelled.layout
    assert "'lesion_id' stay together" in labelled.layout


def test_without_the_second_table_no_lesion_is_known(isic, collection):
    (isic / FACTS).unlink()
    assert {case.group for case in _read(isic, collection).cases} == {None}


def test_forgetting_to_join_is_caught_by_the_test_above(isic, collection, monkeypatch):
    monkeypatch.setattr(table, "joined", lambda sheet: sheet)
    assert {case.group for case in _read(isic, collection).cases} == {None}


def test_lesion_groupings_of_an_earlier_challenge(tmp_path, collection):
    cells = [f"{name},HAM_{number // 3},histopathology" for number, name in enumerate(NAMES)]
    (tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv").write_text(_truth())
    (tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(
        "image,lesion_id,diagnosis_confirm_type\n" + "\n".join(cells)
    )
    request = SourceRequest(src="/data", labels=str(tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv"))
    assert [case.group for case in read(collection(IMAGES), request).cases] == [f"HAM_{number // 3}" for number in range(12)]


def test_rows_that_contradict_each_other_say_nothing(isic, collection):
    with (isic / FACTS).open("a") as file:
        file.write(f"{NAMES[0]},30.0,anterior torso,BCN_5,female\n")
    groups = [case.group for case in _read(isic, collection).cases]
    assert groups[:3] == [None, "BCN_0", "BCN_1"]


def test_weights_of_the_challenge_are_no_findings(isic, collection, values):
    (isic / TRUTH).write_text(_truth(",1.0,0.0"))
    labelled = _read(isic, collection)
    assert labelled.target.classes == ("MEL", "NV", "UNK")
    assert values(labelled)[IMAGES[0]] == "NV"
    read_as = {each["column"]: each["read_as"] for each in labelled.columns}
    assert read_as["score_weight"] == "not used (scoring of a challenge)"


def test_a_broken_second_table_is_named(isic, collection):
    (isic / FACTS).write_bytes(b"")
    with pytest.raises(InputError, match="Metadata"):
        _read(isic, collection)


def test_a_table_of_another_kind_with_such_a_name_is_left_alone(isic, collection):
    (isic / FACTS).write_text("identifier,lesion_id\n1,2\n")
    assert {case.group for case in _read(isic, collection).cases} == {None}
