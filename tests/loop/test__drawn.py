"""Outlines and boxes in labels: from files into the store, and from there into what is learnt and judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import store
from medloop.errors import InputError
from medloop.evaluation.gate import Decision, Rules
from medloop.loop import _drawn, _frozen, _stored
from medloop.loop import promote as verb
from medloop.loop._judging import Told, judge
from medloop.loop._stored import Wanted
from medloop.loop._truth import truth_of
from medloop.loop.ingest import ingest
from medloop.loop.retrain import retrain
from medloop.loop.review import asked
from medloop.reporting.comparison_part import fragment
from medloop.requests import IngestRequest, RetrainRequest
from medloop.store import Store, labels, settings, studies
from medloop.store.records import LabelRow, ModelRow, StudyRow
from medloop.store.studies import Filter
from medloop.targets import boxes
from medloop.types import Findings, Target, TargetKind
from medloop.web.choices import checked
from medloop.workspace import Workspace
from medloop.writers import png
from tests.loop.cells import write_cells
from tests.loop.stored import fill

CELL = Target(TargetKind.MASKS, ("rim", "core"), "masks")
BOX = Target(TargetKind.BOXES, ("cell",), "boxes")
KINDS = Target(TargetKind.BINARY, ("small", "large"))
WORDS = {"images": "*.bmp", "masks": "*.png", "mask_classes": "128=rim,255=core"}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Store]:
    opened = store.open(tmp_path / "w")
    settings.put(opened, {"test_share": 0.0, "blind_share": 0.0}, "test")
    yield opened
    opened.close()


def outlined(records: Store, classes: tuple[str, ...], mask: np.ndarray) -> dict[str, Any]:
    return {"blob": records.blobs.put(png.mask_bytes(mask.astype(np.uint8)), ".png"), "classes": list(classes)}


def boxed(*edges: tuple[float, ...], classes: tuple[str, ...] = ("cell",)) -> dict[str, Any]:
    return {"classes": list(classes), "boxes": [dict(zip(_drawn.EDGES, each, strict=True)) | {"class": 0} for each in edges]}


def take(records: Store, src: Path, **more: Any):
    return ingest(Workspace(records.root), IngestRequest(src=str(src), workers=0, **more))


def every(records: Store) -> list[StudyRow]:
    return studies.page(records, "arrival", Filter(states=("ready", "done")), 100, refs=True).rows


def test_masks_come_beside_classes_and_a_case_without_a_class_is_still_read(records: Store, tmp_path: Path) -> None:
    write_cells(tmp_path / "cells", 6)  # the table does not know the first
    (tmp_path / "cells" / "c03.png").unlink()
    done = take(records, tmp_path / "cells", labels=str(tmp_path / "labels.csv"), **WORDS)
    assert done.labels == 10
    rows = {row.name: row for row in every(records)}
    assert {name: row.state for name, row in rows.items()} == {f"c{k:02}.bmp": "done" if k else "ready" for k in range(6)}
    assert settings.get(records, "target")["classes"] == ["large", "small"]
    assert asked(records).outlined == ("rim", "core")
    told = labels.current(records)
    assert (rows["c03.bmp"].id, "masks") not in told
    assert told[(rows["c00.bmp"].id, "masks")].provenance == "imported"
    assert take(records, tmp_path / "cells", labels=str(tmp_path / "labels.csv"), **WORDS).labels == 0
    stored = _stored.gathered(records, Wanted(drawn=("masks",)))
    names = [case.images[0].name for case in stored.labelled.cases]
    (truth,) = stored.labelled.further
    assert truth.target == CELL
    assert len(names) == 6
    assert truth.known.tolist() == [name != f"case-{rows['c03.bmp'].id}" for name in names]
    assert [label.value == "" for label in stored.labelled.labels].count(True) == 1
    assert [*_stored.gathered(records).labelled.further] == []


def test_boxes_come_from_a_file_of_instances_and_none_is_known_to_be_none(records: Store, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("a", "b"):
        Pillow.fromarray(np.random.default_rng(len(name)).integers(0, 255, (20, 30)).astype(np.uint8) + (name == "b")).save(
            tmp_path / "src" / f"{name}.png"
        )
    content = {
        "images": [{"id": at, "file_name": name, "width": 30, "height": 20} for at, name in enumerate(("a.png", "b.png"), 1)],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 4, 10, 5], "area": 50, "iscrowd": 0}],
    }  # fmt: skip
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    take(records, tmp_path / "src", labels=str(tmp_path / "boxes.json"))
    stored = _stored.gathered(records)
    (truth,) = stored.labelled.further
    assert (truth.target, truth.known.tolist()) == (BOX, [True, True])
    assert sorted(len(each) for each in truth.boxes) == [0, 1]
    np.testing.assert_array_equal(np.concatenate(truth.boxes), [[0, 4, 3, 1, 9, 13]])


def test_classes_of_another_order_are_put_right_and_an_outline_that_lacks_one_is_none(records: Store, tmp_path: Path) -> None:
    numbers = fill(records, tmp_path / "a", 4)
    mask = np.zeros((40, 40))
    mask[:10], mask[10:20] = 1, 2
    values = [outlined(records, ("core", "extra", "rim"), mask), outlined(records, ("rim",), mask), {"blob": "gone", "classes": []}]
    for number, value in zip(numbers, values, strict=False):
        labels.append(records, LabelRow(case_id=number, value=value, target="masks", provenance="human"), "ann")
    stored = _stored.gathered(records, Wanted(plain=False, drawn=(CELL,)))
    assert [case.name for case in stored.labelled.cases] == [f"case-{numbers[0]}"]
    assert stored.left_out["unreadable value"] == 2
    found = truth_of(stored.labelled.further[0], 0, "case")
    assert np.unique(found.mask[0, :10]).tolist() == [2]
    assert np.unique(found.mask[0, 10:20]).tolist() == [255]  # of what the target does not know nothing is known
    assert np.unique(found.mask[0, 20:]).tolist() == [0]


@pytest.mark.parametrize(
    "wrong",
    [
        boxed((0, 5, 5, 1, 5, 9)),
        boxed((0, 0, 0, 1, float("nan"), 9)),
        {"classes": ["cell"], "boxes": [{"class": 0}]},
        {"classes": ["cell"], "boxes": [boxed((0, 0, 0, 1, 2, 2))["boxes"][0] | {"class": 1}]},
        {"classes": ["other"], "boxes": []},
        "cell",
        None,
    ],
)
def test_boxes_that_are_none_do_not_count(records: Store, wrong: Any) -> None:
    assert _drawn.fits(boxed((0, 0, 0, 1, 2, 2)), BOX, records.blobs)
    assert not _drawn.fits(wrong, BOX, records.blobs)


def _frozen_boxes(records: Store, folder: Path, count: int) -> _frozen.Frozen:
    for number in fill(records, folder, count, frozen=count, labelled=False):
        labels.append(
            records, LabelRow(case_id=number, value=boxed((0, 5, 5, 1, 15, 15)), target="boxes", provenance="human"), "ann"
        )
    return _frozen.frozen_cases(records, BOX)


def _answers(frozen: _frozen.Frozen, hit: int) -> Told:
    """A model that finds the box in the first ``hit`` cases and another place in the rest."""
    tallies = {}
    for row, case in enumerate(frozen.cases):
        at = 5.0 if row < hit else 25.0
        edges = np.array([[0, at, at, 1, at + 10, at + 10]])
        found = Findings(case.name, boxes=edges, box_classes=np.zeros(1, np.int64), box_scores=np.array([0.9]))
        tallies[case.name] = boxes.tally(BOX, found, truth_of(frozen.drawn, row, case.name), None)
    return Told({}, {"boxes": tallies})


def test_boxes_are_judged_case_by_case_on_frozen_cases_that_were_read_blind(records: Store, tmp_path: Path) -> None:
    frozen = _frozen_boxes(records, tmp_path / "a", 32)
    assert (len(frozen), frozen.left_out) == (32, {})
    pair = (ModelRow(name="old", path="", family="multitask"), ModelRow(name="new", path="", family="multitask"))
    better = judge([frozen], pair, [_answers(frozen, 10), _answers(frozen, 28)], Rules(), 1)
    assert better.verdict.decision is Decision.PROMOTED
    assert better.verdict.gain.metric == "precision"
    assert [each.group for each in better.verdict.groups] == ["class=cell", "site=here"]
    assert better.evidence["figures"][0]["b"] == pytest.approx(28 / 32)
    same = judge([frozen], pair, [_answers(frozen, 20), _answers(frozen, 20)], Rules(), 1)
    assert same.verdict.decision is Decision.REFUSED
    number = frozen.rows[0].id
    value = boxed((0, 1, 1, 1, 9, 9))
    labels.append(records, LabelRow(case_id=number, value=value, target="boxes", provenance="human-after-ai"), "ann")
    assert _frozen.frozen_cases(records, BOX).left_out == {"read with the proposal in view": 1}


def test_a_second_target_stands_beside_the_first_in_evidence_and_page(records: Store, tmp_path: Path) -> None:
    frozen = _frozen_boxes(records, tmp_path / "a", 32)
    main = replace(frozen, target=replace(BOX, name="spots"))
    each = [(_answers(frozen, hit).drawn["boxes"], _answers(frozen, other).drawn["boxes"]) for hit, other in ((10, 30), (28, 20))]
    answers = [Told({}, {"spots": spots, "boxes": cells}) for spots, cells in each]
    pair = (ModelRow(name="old", path="", family="multitask"), ModelRow(name="new", path="", family="multitask"))
    found = judge([main, frozen], pair, answers, Rules(), 1)
    assert found.verdict.decision is Decision.NEEDS_PERSON
    assert found.verdict.reasons[0].startswith("It is worse for target=boxes (32 cases): average precision 0.625 instead of 0.938")
    assert [each["target"]["name"] for each in found.evidence["beside"]] == ["boxes"]
    assert fragment(found.evidence).count('<th scope="row">Precision cell</th>') == 2


def test_a_case_that_one_model_could_not_answer_is_left_out_for_both(records: Store, tmp_path: Path) -> None:
    frozen = _frozen_boxes(records, tmp_path / "a", 12)
    one, two = _answers(frozen, 12), _answers(frozen, 12)
    del two.drawn["boxes"][frozen.cases[3].name]
    pair = (ModelRow(name="old", path="", family="multitask"), ModelRow(name="new", path="", family="multitask"))
    evidence = judge([frozen], pair, [one, two], Rules(), 1).evidence
    assert (evidence["cases"], evidence["left_out"]) == (11, {"a model could not read it": 1})


def test_models_are_compared_where_the_challenger_answers_all_that_the_champion_does() -> None:
    assert verb._incomparable((KINDS, CELL), (KINDS, BOX, CELL)) == ""
    assert "masks" in verb._incomparable((KINDS, CELL), (KINDS,))
    assert "masks" in verb._incomparable((KINDS, CELL), (KINDS, Target(TargetKind.MASKS, ("rim",), "masks")))
    assert "different questions" in verb._incomparable((KINDS,), (CELL,))
    measures = Target(TargetKind.MEASURES, ("size",), "measures")
    assert "no one figure" in verb._incomparable((measures,), (measures,))


def test_a_target_that_is_asked_for_and_not_labelled_is_told(records: Store, tmp_path: Path) -> None:
    fill(records, tmp_path / "a", 4)
    with pytest.raises(InputError) as caught:
        retrain(Workspace(records.root), RetrainRequest(targets="classes,masks", budget="10m"))
    assert caught.value.code == "target-without-labels"


@pytest.mark.parametrize("wrong", ["masks", {"masks": "rim"}, {"lines": ["rim"]}, {"boxes": [1]}])
def test_what_readers_draw_is_set_by_its_classes(wrong: Any) -> None:
    assert checked("drawn", {"masks": ["rim", "core"], "boxes": []}) == {"masks": ["rim", "core"], "boxes": []}
    assert checked("drawn", None) is None
    with pytest.raises(InputError):
        checked("drawn", wrong)
