"""The intake report of images with masks, boxes and measures, as a person asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.loop.command import Command
from tests.loop.conftest import blob


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, each with a mask and a file of boxes; the last mask has another size, the last box no area."""
    folder = tmp_path_factory.mktemp("few") / "cells"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(12):
        picture = blob(rng, bool(number % 2))
        Pillow.fromarray(picture).save(folder / f"c{number:02}.bmp")
        mask = np.where(picture > 90, 128, 0) + np.where(picture > 150, 127, 0)
        Pillow.fromarray(mask[: 40 if number < 11 else 30].astype(np.uint8)).save(folder / f"c{number:02}.png")
        edges = (5, 6, 20, 22 if number < 11 else 6)
        box = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
        (folder / f"c{number:02}.xml").write_text(
            f"<annotation><object><name>disc</name><bndbox>{box}</bndbox></object></annotation>"
        )
    return folder


def test_masks_and_boxes_are_counted_and_what_is_wrong_is_told(command, cells):
    words = ("inspect", cells, "--masks", "*.png", "--mask-classes", "128=rim,255=core", "--workers", 0)
    found = command(*words, "--json").json
    assert found["cases"] == 12
    assert found["target"] == "boxes"
    assert [(each["target"], each["class"], each["cases"]) for each in found["further"]] == [
        ("boxes", "disc", 11),
        ("masks", "rim", 11),
        ("masks", "core", 11),
    ]
    assert found["rejected"] == []
    told = {each["name"]: each["problem"] for each in found["label_problems"]}
    assert "has no area" in told["c11.xml"]
    assert "its size is 40 × 30" in told["c11.png"]
    said = command(*words).words
    assert "masks, core:" in said
    assert "Traceback" not in said
    page = next((command.home / "inspections").glob("*/report.html")).read_text()
    assert "Masks, boxes and measures" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--masks", "*.tif"), "No file fits --masks"),
        (("--masks", "*.png", "--mask-classes", "128"), "not VALUE=NAME"),
        (("--mask-classes", "128=rim"), "without --masks"),
        (("--labels", "nothing.json"), "There is no label table or file at nothing.json"),
        (("--labels", "nothing.xml"), "There is no label table or file at nothing.xml"),
        (("--labels", __file__), "no label file"),
    ],
)
def test_flags_that_make_no_sense_are_answered(command, cells, words, says):
    command.refused("inspect", cells, "--workers", 0, *words, code=2, says=(says,))
