"""Tables of every layout, and of every kind of disorder."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from medloop.errors import InputError
from medloop.labels import read, table
from medloop.requests import SourceRequest
from medloop.types import ImageRef, Split, TargetKind

TEN = [f"{number:03}.png" for number in range(1, 11)]


def rows(head: str, cells: list[str]) -> str:
    return "\n".join([head, *cells]) + "\n"


def as_read(labelled) -> dict[str, str]:
    return {each["column"]: each["read_as"] for each in labelled.columns}


def told(labelled) -> list[tuple[int | None, str]]:
    return [(each["row"], each["problem"]) for each in labelled.problems]


def test_one_class_column_of_small_whole_numbers(read_table, values) -> None:
    labelled = read_table(rows("image ID,class label", [f"{n},{1 + n % 3}" for n in range(1, 11)]), TEN)
    assert labelled.target.kind is TargetKind.MULTICLASS
    assert labelled.target.classes == ("1", "2", "3")
    assert values(labelled)["004.png"] == "2"
    assert as_read(labelled) == {"image ID": "image", "class label": "label"}
    assert "leading zeros" in labelled.layout
    assert all(each["because"] for each in labelled.columns)
    assert labelled.labels[0].where == "labels.csv row 2"
    assert labelled.problems == []


def test_one_hot_as_isic(read_table, values) -> None:
    cells = [f"ISIC_{n:07},{int(n % 2 == 0)}.0,{int(n % 2 == 1)}.0,0.0" for n in range(10)]
    labelled = read_table(rows("image,MEL,NV,UNK", cells), [f"in/ISIC_{n:07}.jpg" for n in range(10)])
    assert labelled.target.kind is TargetKind.MULTICLASS
    assert labelled.target.classes == ("MEL", "NV", "UNK")
    assert values(labelled)["in/ISIC_0000001.jpg"] == "NV"
    assert "one column for each class" in labelled.layout


def test_one_hot_row_with_two_marks_is_reported_and_left_out(read_table) -> None:
    names = [f"{n}.png" for n in range(200)]
    cells = [f"{n}.png,{n % 2},{1 - n % 2}" for n in range(200)]
    cells[7] = "7.png,1,1"
    labelled = read_table(rows("image,cyst,tumour", cells), names)
    assert labelled.target.kind is TargetKind.BINARY
    assert (9, "2 classes are marked where one must be") in told(labelled)
    assert [ref.name for ref in labelled.unlabelled] == ["7.png"]


def test_multi_label_columns_with_blanks_and_uncertain(read_table, values) -> None:
    cells = ["1,1,0,", "2,1,1,0", "3,0,,-1", "4,,,", *(f"{n},0,{n % 2},1" for n in range(5, 11))]
    labelled = read_table(rows("image,Effusion,Oedema,Mass", cells), TEN)
    assert labelled.target.kind is TargetKind.MULTILABEL
    assert values(labelled)["001.png"] == (("Effusion", 1.0), ("Oedema", 0.0), ("Mass", None))
    assert values(labelled)["003.png"] == (("Effusion", 0.0), ("Oedema", None), ("Mass", None))
    assert (5, "the label is empty") in told(labelled)


def test_lists_as_nih(read_table, values) -> None:
    cells = ["001.png,Cardiomegaly|Effusion,0,p1,058Y,M,PA,", "002.png,No Finding,1,p1,059Y,M,AP,", "003.png,Effusion,0,p2,8,F,PA,"]
    cells += [f"{n:03}.png,No Finding|Effusion,0,p{n},40,F,PA," for n in (4,)]
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    labelled = read_table(rows(head, cells), TEN)
    assert labelled.target.kind is TargetKind.MULTILABEL
    assert labelled.target.classes == ("Cardiomegaly", "Effusion")
    assert values(labelled)["001.png"] == (("Cardiomegaly", 1.0), ("Effusion", 1.0))
    assert values(labelled)["002.png"] == (("Cardiomegaly", 0.0), ("Effusion", 0.0))
    assert (5, "'No Finding|Effusion' says both a finding and none") in told(labelled)
    assert labelled.cases[0].patient == labelled.cases[1].patient == "p1"
    assert labelled.cases[0].attribute("age_band") == "50-59"
    assert labelled.cases[2].attribute("sex") == "F"
    assert as_read(labelled)["View Position"].startswith("not used")


def test_a_number_with_decimal_commas_and_semicolons(read_table, values) -> None:
    labelled = read_table(rows("name;size_mm", [f"{n:03}.png;{n},5" for n in range(1, 11)]), TEN)
    assert labelled.target.kind is TargetKind.NUMBER
    assert labelled.target.unit == "mm"
    assert values(labelled)["003.png"] == 3.5
    assert "column 'size_mm' is a number to be predicted in mm. Images" in labelled.layout
    assert "semicolons" in labelled.layout


def test_mixed_types_in_a_number_column_are_reported(read_table) -> None:
    cells = [f"{n},{n * 1.25}" for n in range(1, 31)]
    cells[4] = "5,about seven"
    labelled = read_table(rows("image,volume", cells), [f"{n}.png" for n in range(1, 31)])
    assert labelled.target.kind is TargetKind.NUMBER
    assert (6, "'about seven' is no number") in told(labelled)


def test_mixed_spellings_of_a_class_are_one_class(read_table, values) -> None:
    cells = ["1,Tumour", "2,tumour", "3,Tumour ", "4,normal", "5,Normal", "6,normal", *(f"{n},normal" for n in range(7, 11))]
    labelled = read_table(rows("image,label", cells), TEN)
    assert labelled.target.classes == ("normal", "Tumour")
    assert values(labelled)["002.png"] == "Tumour"


def test_classes_as_numbers_with_and_without_point_are_one(read_table) -> None:
    labelled = read_table(rows("image,label", [f"{n},{n % 2}{'.0' * (n > 5)}" for n in range(1, 11)]), TEN)
    assert labelled.target.classes == ("0", "1")


@pytest.mark.parametrize(
    ("names", "expected"), [(("abnormal", "normal"), ("normal", "abnormal")), (("malignant", "benign"), ("benign", "malignant"))]
)
def test_the_positive_class_comes_second(read_table, names: tuple[str, str], expected: tuple[str, str]) -> None:
    labelled = read_table(rows("image,label", [f"{n},{names[n % 2]}" for n in range(1, 11)]), TEN)
    assert labelled.target.classes == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_and_delimiters(read_table, encoding: str, mark: str) -> None:
    text = rows(
        mark.join(("image", "Übersicht", "label")),
        [mark.join((f"{n}", "Bär, groß" if mark != "," else "Bär", "é" * (1 + n % 2))) for n in range(1, 11)],
    )
    labelled = read_table(text.replace("\n", "\r\n").encode(encoding), TEN)
    assert labelled.target.classes == ("é", "éé")
    assert len(labelled.cases) == 10
    assert [each["column"] for each in labelled.columns] == ["image", "Übersicht", "label"]


def test_quotes_blank_rows_and_row_numbers(read_table) -> None:
    text = 'image,label,comment\n\n"001.png",a,"two\nlines, and ""quotes"""\n,,\n002.png,b,x\nmissing.png,a,x\n003.png,b,x\n'
    labelled = read_table(text, TEN)
    assert [label.where for label in labelled.labels] == ["labels.csv row 3", "labels.csv row 6", "labels.csv row 8"]
    assert (7, "no image has this name") in told(labelled)


def test_xlsx(tmp_path: Path, collection) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Our label table"])
    book.active.append(["image", "label", "age"])
    for number in range(1, 11):
        book.active.append([float(number), bool(number % 2), 41.0])
    book.save(tmp_path / "labels.xlsx")
    labelled = read(collection(TEN), SourceRequest(src="/data", labels=str(tmp_path / "labels.xlsx")))
    assert labelled.target.classes == ("0", "1")
    assert labelled.labels[0].where == "labels.xlsx row 3"
    assert labelled.cases[0].attribute("age_band") == "40-49"


def test_a_table_without_header(read_table) -> None:
    labelled = read_table(rows("001.png,a", [f"{n:03}.png,{'ab'[n % 2]}" for n in range(2, 11)]), TEN)
    assert len(labelled.cases) == 10
    assert as_read(labelled) == {"column 1": "image", "column 2": "label"}


def test_rows_without_image_images_without_row_and_empty_labels(read_table) -> None:
    labelled = read_table(
        rows("image,label", ["001.png,a", "nobody.png,a", "002.png,b", "003.png,NaN", ",a", "004.png,a"]), TEN[:5]
    )
    assert told(labelled) == [
        (3, "no image has this name"),
        (5, "the label is empty"),
        (6, "column 'image' is empty"),
        (None, "no row of the table labels this image"),
        (None, "no row of the table labels this image"),
    ]
    assert [ref.name for ref in labelled.unlabelled] == ["003.png", "005.png"]


def test_a_name_that_fits_two_files_is_reported_with_the_flag(read_table) -> None:
    labelled = read_table(rows("image,label", ["1,a", "2,b", "3,a"]), ["001.bmp", "001.png", "002.bmp", "003.bmp"])
    row, text = told(labelled)[0]
    assert row == 2
    assert "001.bmp, 001.png" in text
    assert "--images '*.bmp'" in text
    assert len(labelled.cases) == 2


def test_when_every_name_fits_two_files_the_flag_is_the_way_out(read_table) -> None:
    with pytest.raises(InputError, match="2 images fit") as caught:
        read_table(rows("image,label", ["1,a", "2,b"]), ["001.bmp", "001.png", "002.bmp", "002.png"])
    assert caught.value.code == "ambiguous-names"
    assert "--images" in caught.value.fix


def test_repeated_rows(read_table, values) -> None:
    labelled = read_table(rows("image,label", ["1,a", "1,a", "2,b", "2,a", "3,b", "001.png,a"]), TEN[:3])
    assert values(labelled) == {"001.png": "a", "003.png": "b"}
    problems = dict(told(labelled))
    assert problems[3] == "repeats row 2 with the same label; used once"
    assert problems[7] == "repeats row 2 with the same label; used once"
    assert problems[4] == problems[5] == "rows 4 and 5 give different labels; the image is left out"
    assert [ref.name for ref in labelled.unlabelled] == ["002.png"]


@pytest.mark.parametrize("flag", ["id_column", "label_columns", "group"])
def test_wrong_column_names_are_answered_with_the_nearest(read_table, flag: str) -> None:
    with pytest.raises(InputError, match="diagnosi") as caught:
        read_table(rows("image,diagnosis", [f"{n},{n % 2}" for n in range(1, 11)]), TEN, **{flag: "diagnosi"})
    assert caught.value.code == "unknown-column"
    assert "Did you mean diagnosis" in caught.value.fix
    assert caught.value.exit_code == 2


def test_flags_override_what_was_recognised(read_table, values) -> None:
    cells = [f"{n},{11 - n},{'ab'[n % 2]},{'xyz'[n % 3]},L{n // 2}" for n in range(1, 11)]
    head = "first,second,label,other,lesion"
    labelled = read_table(rows(head, cells), TEN, id_column="second", label_columns="other", group="lesion")
    assert values(labelled)["001.png"] == "y"
    assert labelled.target.classes == ("x", "y", "z")
    assert labelled.cases[0].group == "L5"
    assert as_read(labelled) == {
        "first": "not used",
        "second": "image",
        "label": "not used",
        "other": "label",
        "lesion": "group (kept together)",
    }


@pytest.mark.parametrize("flags", [{"label_columns": "label,image"}, {"label_columns": "label", "group": "label"}])
def test_a_column_cannot_be_two_things(read_table, flags: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is named as a label") as caught:
        read_table(rows("image,label", [f"{n},{n % 2}" for n in range(1, 11)]), TEN, **flags)
    assert caught.value.code == "bad-label-columns"


def test_no_message_repeats_a_patient_id(read_table) -> None:
    images = [ImageRef(name=f"{n}.dcm", reader="dicom", files=("/a",), patient=f"SECRET{n}") for n in range(4)]
    cells = ["SECRET0,a", "SECRET1,b", "SECRET1,a", "SECRET2,b", "SECRET9,a", "SECRET3,"]
    labelled = read_table(rows("patient_id,label", cells), images)
    assert len(labelled.problems) >= 4
    assert "SECRET" not in repr(labelled.problems) + labelled.layout + repr(labelled.columns)
    with pytest.raises(InputError) as caught:
        read_table(rows("patient_id,label", ["SECRET8,a", "SECRET9,b"]), images)
    assert "SECRET" not in str(caught.value)


def test_several_columns_that_may_be_the_label_are_an_error_with_the_flag(read_table) -> None:
    cells = [f"{n},{'ab'[n % 2]},{'xyz'[n % 3]}" for n in range(1, 11)]
    with pytest.raises(InputError, match="Several columns may be the label") as caught:
        read_table(rows("image,shape,texture", cells), TEN)
    assert "'shape'" in caught.value.got
    assert "'texture'" in caught.value.got
    assert "--label-columns 'shape'" in caught.value.fix


def test_a_class_beside_its_number_is_no_ambiguity(read_table) -> None:
    cells = [f"{n},{n % 3},{'abc'[n % 3]}" for n in range(1, 11)]
    labelled = read_table(rows("image,class_id,class_name", cells), TEN)
    assert labelled.target.classes == ("a", "b", "c")
    assert as_read(labelled)["class_id"] == "not used"


def test_ham_columns(read_table) -> None:
    cells = [
        f"HAM_{n // 2},ISIC_{n},{['nv', 'mel', 'bkl'][n % 3]},{['histo', 'consensus'][n % 2]},{n * 5}.0,male,back"
        for n in range(1, 11)
    ]
    labelled = read_table(
        rows("lesion_id,image_id,dx,dx_type,age,sex,localization", cells), [f"ISIC_{n}.jpg" for n in range(1, 11)]
    )
    assert as_read(labelled) == {
        "lesion_id": "group (kept together)", "image_id": "image", "dx": "label", "dx_type": "not used", "age": "age", "sex": "sex",
        "localization": "not used",
    }  # fmt: skip
    assert labelled.cases[0].group == "HAM_0"


def test_split_and_site_columns(read_table) -> None:
    splits = ["train"] * 6 + ["valid", "valid", "test", "Testing"]
    labelled = read_table(rows("image,label,set,hospital", [f"{n},{n % 2},{splits[n - 1]},H{n % 2}" for n in range(1, 11)]), TEN)
    assert [case.given_split for case in labelled.cases] == [Split.TRAIN] * 6 + [Split.VAL] * 2 + [Split.TEST] * 2
    assert labelled.cases[0].site == "H1"
    assert labelled.cases[0].attribute("site") == "H1"


def test_a_patient_row_labels_every_series_and_keeps_them_together(read_table, values) -> None:
    images = [
        ImageRef(
            name=f"p{n}/s{part}#x", reader="dicom", files=("/a", "/b"), patient=f"P-{n}", study=f"1.2.{n}", series=f"1.2.{n}.{part}"
        )
        for n in range(6)
        for part in (1, 2)
    ]
    labelled = read_table(rows("patient_id,diagnosis", [f"P-{n},{'ab'[n % 2]}" for n in range(6)]), images)
    assert len(labelled.cases) == 12
    assert labelled.cases[0].group == labelled.cases[1].group
    assert labelled.cases[0].patient == "P-0"
    assert "6 rows mean several images each" in labelled.layout
    by_study = read_table(rows("study,diagnosis", [f"1.2.{n},{'ab'[n % 2]}" for n in range(6)]), images)
    assert values(by_study) == values(labelled)


def test_the_header_patient_is_kept_and_a_placeholder_is_not(read_table) -> None:
    images = [ImageRef(name=f"{n}.dcm", reader="dicom", files=("/a",), patient="ANON" if n > 3 else f"P{n}") for n in range(1, 7)]
    labelled = read_table(rows("image,label", [f"{n},{n % 2}" for n in range(1, 7)]), images)
    assert [case.patient for case in labelled.cases] == ["P1", "P2", "P3", None, None, None]


def test_the_table_in_the_folder_is_found(tmp_path: Path, collection) -> None:
    (tmp_path / "labels.csv").write_text(rows("image,label", [f"{n},{n % 2}" for n in range(1, 11)]))
    (tmp_path / "notes.csv").write_text(rows("who,when", ["me,today", "you,tomorrow"]))
    (tmp_path / "sizes.csv").write_text(rows("image,size_mm", [f"{n},{n}.5" for n in range(1, 11)]))
    found = read(collection(TEN, sorted(tmp_path.glob("*.csv"))), SourceRequest(src="/data"))
    assert "found in the folder" in found.layout
    assert found.target.classes == ("0", "1")
    (tmp_path / "other_labels.csv").write_text(rows("image,label", [f"{n},{n % 2}" for n in range(1, 11)]))
    with pytest.raises(InputError, match="Several tables fit") as caught:
        read(collection(TEN, sorted(tmp_path.glob("*.csv"))), SourceRequest(src="/data"))
    assert "--labels" in caught.value.fix


def test_split_folders_count_beside_a_table(read_table) -> None:
    images = [f"train/{n}.png" for n in range(6)] + [f"test/{n}.png" for n in range(6, 9)]
    labelled = read_table(rows("image,label", [f"{n}.png,{n % 2}" for n in range(9)]), images)
    assert [case.given_split for case in labelled.cases] == [Split.TRAIN] * 6 + [Split.TEST] * 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad-table"),
        (b"image,label\n", "bad-table"),
        (b"\x00\x01\x02\xff" * 50, "bad-table"),
        (b"image,label\nx1,a\nx2,b\n", "no-match"),
        (b"image,label\n1,\n2,NaN\n3,n/a\n", "no-label-column"),
        (b"image\n1\n2\n", "no-label-column"),
    ],
)
def test_tables_that_cannot_be_used(read_table, content: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_table(content, TEN)
    assert caught.value.code == code
    assert caught.value.fix


def test_a_missing_table_and_a_broken_workbook(read_table, collection) -> None:
    with pytest.raises(InputError, match="no label table"):
        read(collection(TEN), SourceRequest(src="/data", labels="/nowhere/labels.csv"))
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_table(b"PK\x03\x04 no workbook", TEN, name="labels.xlsx")


def test_one_class_only_is_read_and_left_to_the_dataset_to_refuse(read_table) -> None:
    labelled = read_table(rows("image,label", [f"{n},a" for n in range(1, 11)]), TEN)
    assert labelled.target.classes == ("a",)


def test_rows_of_a_matching_image_are_checked_against_the_images(read_table, monkeypatch) -> None:
    """Break matching on purpose: a matcher that takes the first of two files would hide the ambiguity."""
    text, images = rows("image,label", ["1,a", "2,b", "3,a"]), ["001.bmp", "001.png", "002.bmp", "003.bmp"]
    assert len(read_table(text, images).cases) == 2
    monkeypatch.setattr(table.Match, "ambiguous", False)
    assert len(read_table(text, images).cases) != 2


def test_a_column_names_the_study_before(read_table) -> None:
    cells = ["001.png,a,", "002.png,b,001", "003.png,a,001.png", "004.png,b,404.png", "005.png,a,005.png"]
    labelled = read_table(rows("image,label,prior", cells), TEN[:5])
    assert as_read(labelled)["prior"] == "earlier study"
    assert {case.name: case.prior for case in labelled.cases} == {
        "001.png": None,
        "002.png": "001.png",
        "003.png": "001.png",
        "004.png": None,
        "005.png": None,
    }
    assert told(labelled) == [(5, "its earlier study is no image that was found, or several; it has none")]


def test_a_column_of_that_name_that_names_no_images_is_none(read_table) -> None:
    labelled = read_table(rows("image,label,prior", [f"{name},{'ab'[k % 2]},{k % 3}x" for k, name in enumerate(TEN)]), TEN)
    assert as_read(labelled)["prior"] == "not used"
    assert not any(case.prior for case in labelled.cases)
