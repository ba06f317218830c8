"""Pascal VOC files: boxes in edges of pixels; what cannot be used is told with its file, and the rest goes on."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.labels import _boxes, voc
from medloop.types import TargetKind


def written(path, boxes, size=(40, 30), filename=""):
    """A VOC file; ``boxes`` are ``(name, xmin, ymin, xmax, ymax)``."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d in boxes
    )
    width, height = size
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<?xml version='1.0' encoding='utf-8'?>\n<annotation><filename>{filename}</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


@pytest.fixture
def smears(tmp_path, write_picture):
    """Four pictures of 40 by 30, three of them with boxes."""
    for name in "abcd":
        write_picture(tmp_path / "JPEGImages" / f"{name}.png", np.zeros((30, 40)))
    written(tmp_path / "Annotations" / "a.xml", [("red", 1, 1, 40, 30), ("white", 5, 6, 10, 20)])
    written(tmp_path / "Annotations" / "b.xml", [("red", 2.5, 2, 9, 9)])
    written(tmp_path / "Annotations" / "c.xml", [])
    return tmp_path


def test_boxes_become_edges_of_pixels(smears, read_folder, problems):
    found = read_folder(smears)
    (truth,) = found.further
    assert found.target.kind is TargetKind.BOXES
    assert found.target.classes == ("red", "white")
    assert [case.name for case in found.cases] == ["JPEGImages/a.png", "JPEGImages/b.png", "JPEGImages/c.png"]
    assert truth.boxes[0].tolist() == [[0, 0, 0, 1, 30, 40], [0, 5, 4, 1, 20, 10]]
    assert truth.box_classes[0].tolist() == [0, 1]
    assert truth.boxes[1].tolist() == [[0, 1, 1.5, 1, 9, 9]]
    assert truth.boxes[2].shape == (0, 6)
    assert truth.known.all()
    assert [(each["class"], each["cases"], each["count"]) for each in found.found] == [("red", 2, 2), ("white", 1, 1)]
    assert problems(found) == ["JPEGImages/d.png: it has no file with boxes"]
    assert {str(smears / "Annotations" / f"{name}.xml") for name in "abc"} == found.files


def test_a_set_that_counts_from_zero_is_noticed(smears, read_folder):
    written(smears / "Annotations" / "b.xml", [("red", 0, 2, 9, 9)])
    truth = read_folder(smears).further[0]
    assert truth.boxes[0].tolist() == [[0, 1, 1, 1, 30, 40], [0, 6, 5, 1, 20, 10]]
    assert truth.boxes[1].tolist() == [[0, 2, 0, 1, 9, 9]]


def test_boxes_that_make_no_sense_are_told(smears, read_folder, problems):
    boxes = [
        ("red", 5, 5, 5, 5), ("red", 9, 5, 7, 8), ("red", 50, 5, 60, 8), ("red", 30, 20, 90, 29), ("", 1, 1, 3, 3),
        ("red", "x", 1, 3, 3), ("white", 3, 3, 8, 8),
    ]  # fmt: skip
    written(smears / "Annotations" / "b.xml", boxes)
    found = read_folder(smears)
    assert found.further[0].boxes[1].tolist() == [[0, 19, 29, 1, 29, 40], [0, 2, 2, 1, 8, 8]]
    told = [each for each in problems(found) if "b.xml" in each]
    assert told == [
        "Annotations/b.xml: box 5 has no class name; it is left out",
        "Annotations/b.xml: box 6 (red) lacks one of xmin, ymin, xmax, ymax; it is left out",
        "Annotations/b.xml: box 1 (red) has no area, (5, 5) to (5, 5); it is left out",
        "Annotations/b.xml: box 2 (red) has no area, (9, 5) to (7, 8); it is left out",
        "Annotations/b.xml: box 3 (red) lies outside the image of 40 × 30, (49, 4) to (60, 8); it is left out",
        "Annotations/b.xml: box 4 (red) sticks out of the image of 40 × 30, (29, 19) to (90, 29); it is cut off there",
    ]


def test_the_check_is_what_tells_them(smears, read_folder, problems, monkeypatch):
    written(smears / "Annotations" / "b.xml", [("red", 5, 5, 5, 5)])
    monkeypatch.setattr(_boxes, "_why_not", lambda *_: "")
    assert not any("b.xml" in each for each in problems(read_folder(smears)))


def test_broken_and_foreign_files_are_told(smears, read_folder, problems):
    folder = smears / "Annotations"
    (folder / "b.xml").write_text("<annotation><object>")
    (folder / "d.xml").write_text("<html></html>")
    written(folder / "z.xml", [("red", 1, 1, 3, 3)])
    written(folder / "c.xml", [("red", 1, 1, 3, 3)], size=(80, 60))
    found = read_folder(smears, labels=str(folder))
    assert [case.name for case in found.cases] == ["JPEGImages/a.png"]
    told = "\n".join(problems(found))
    assert "b.xml: not readable as XML" in told
    assert "d.xml: not a Pascal VOC file: its root is <html>" in told
    assert "z.xml: no image has this name" in told
    assert "c.xml: it is about an image of 80 × 60, JPEGImages/c.png has 40 × 30: its boxes are not used" in told


def test_entities_are_not_read(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotation>&y;</annotation>'
    (tmp_path / "a.xml").write_text(bomb)
    assert "entities" in voc.parse(str(tmp_path / "a.xml")).broken
    (tmp_path / "b.xml").write_bytes(bomb.encode("utf-16"))
    assert "entities" in voc.parse(str(tmp_path / "b.xml")).broken


def test_the_file_name_inside_counts_where_the_files_own_does_not(smears, read_folder):
    written(smears / "Annotations" / "0001.xml", [("red", 1, 1, 3, 3)], filename="d.png")
    assert len(read_folder(smears).cases) == 4


def test_lists_without_extensions_give_the_split(smears, read_folder):
    (smears / "train.txt").write_text("a\nb\n")
    (smears / "val.txt").write_text("c\n")
    found = read_folder(smears, split_lists=f"{smears / 'train.txt'},{smears / 'val.txt'}")
    assert [str(case.given_split) for case in found.cases] == ["train", "train", "val"]


@pytest.mark.parametrize(("labels", "code"), [("nowhere.xml", "no-labels"), ("empty", "bad-labels")])
def test_labels_that_are_not_there_are_refused(smears, read_folder, labels, code):
    (smears / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        read_folder(smears, labels=str(smears / labels))
    assert caught.value.code == code


def test_other_xml_files_are_no_boxes(tmp_path, write_picture, read_folder):
    write_picture(tmp_path / "a.png", np.zeros((8, 8)))
    (tmp_path / "a.xml").write_text("<report/>")
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path)
    assert caught.value.code == "no-labels"
