"""Boxes as maps and back, cleaned, joined over slices, drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from medloop.evaluation import detection, matching
from medloop.evaluation.rectangles import overlaps
from medloop.targets import _box_maps, boxes
from medloop.targets.boxes import Boxes, Cleaning
from medloop.types import UNKNOWN, Findings, Target, TargetKind

CELLS = ("Platelets", "RBC", "WBC")
TARGET = Target(TargetKind.BOXES, CELLS, "boxes")
SHAPE, STRIDE = (480, 640), 8


@pytest.fixture(scope="module")
def smears(shared_data):
    """The boxes of 20 real blood smears."""
    folder = shared_data / "bccd" / "Annotations"
    return [_read(path) for path in sorted(folder.glob("*.xml"))[:20]]


def _read(path):
    edges, classes = [], []
    for item in ElementTree.parse(path).iter("object"):
        x0, y0, x1, y1 = (int(item.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax"))
        edges.append([0, y0, x0, 1, y1, x1])
        classes.append(CELLS.index(item.findtext("name")))
    found = Boxes.of(np.array(edges), np.array(classes))
    return found.select(np.flatnonzero(boxes.valid(found.edges, (1, *SHAPE))))


def _flat(*edges, classes=None, scores=None):
    """From ``y0, x0, y1, x1``."""
    whole = np.insert(np.array(edges, float).reshape(-1, 4), (0, 2), (0, 1), axis=1)
    return Boxes.of(whole, np.zeros(len(edges)) if classes is None else classes, scores)


def _perfect(truth, stride=STRIDE, shape=SHAPE, classes=3):
    """What is decoded where a network says exactly what it was taught."""
    maps = boxes.encode([truth], np.ones(1), classes, (shape[0] // stride, shape[1] // stride), stride)
    return boxes.decode(20 * maps.centres[0] - 15, maps.sizes[0], stride, shape)


def _found_again(smears):
    cases = [matching.match(truth, boxes.clean(_perfect(truth), Cleaning(0.9)), 3) for truth in smears]
    return detection.score(CELLS, cases, np.arange(len(cases)))["map"].value


def test_a_network_that_says_what_it_was_taught_finds_real_cells(smears):
    assert _found_again(smears) > 0.97


def test_sizes_from_the_edge_of_a_cell_are_seen(smears, monkeypatch):
    """As if the edges were measured from a cell's corner, not from its middle."""
    monkeypatch.setattr(boxes, "decode", lambda centres, sizes, stride, shape: _box_maps.decode(centres, sizes + 4, stride, shape))
    assert not _found_again(smears) > 0.97


def test_maps_of_a_box():
    maps = boxes.encode([_flat((8, 16, 40, 64), classes=[1])], np.ones(1), 2, (10, 12), 8)
    assert maps.centres.shape == (1, 2, 10, 12)
    assert maps.centres[0, 1, 3, 5] == 1
    assert (maps.centres[0, 1] == 1).sum() == 1
    assert not maps.centres[0, 0].any()
    assert maps.sizes[0, :, 3, 5].tolist() == [20, 28, 12, 20]
    assert maps.weights.sum() == pytest.approx(1)
    assert {each.dtype for each in (maps.centres, maps.sizes, maps.weights)} == {np.dtype(np.float32)}


def test_every_box_counts_the_same_and_shared_cells_belong_to_the_smaller():
    small, large = (30, 30, 50, 50), (0, 0, 80, 80)
    maps = boxes.encode([_flat(small, large)], np.ones(1), 1, (10, 10), 8)
    assert maps.sizes[0, :, 5, 5].tolist() == [14, 14, 6, 6]
    alone = boxes.encode([_flat((0, 0, 16, 16), (40, 40, 80, 80))], np.ones(1), 1, (10, 10), 8)
    assert alone.weights[0, :3, :3].sum() == pytest.approx(alone.weights[0, 3:, 3:].sum()) == pytest.approx(1)


def test_an_unknown_case_and_a_box_outside_teach_nothing():
    outside = _flat((-50, 0, -2, 40))
    maps = boxes.encode([_flat((0, 0, 40, 40)), outside], np.array([False, True]), 1, (10, 10), 8)
    assert maps.known.tolist() == [False, True]
    assert not maps.centres.any()
    assert not maps.weights.any()


def test_maps_of_a_volume_are_those_of_its_slices():
    solid = Boxes.of(np.array([[1, 8, 16, 3, 40, 64], [2, 0, 0, 3, 16, 16]]), np.array([1, 0]))
    maps = boxes.encode([solid], np.ones(1), 2, (4, 10, 12), 8)
    for z in range(4):
        flat = boxes.encode([boxes.in_slice(solid, z)], np.ones(1), 2, (10, 12), 8)
        np.testing.assert_array_equal(maps.centres[:, :, z], flat.centres)
        np.testing.assert_array_equal(maps.sizes[:, :, z], flat.sizes)
        np.testing.assert_array_equal(maps.weights[:, z], flat.weights)
    assert maps.weights.sum() == pytest.approx(3)


def test_decoding_keeps_the_highest_peaks_inside_the_picture():
    centres, sizes = np.full((2, 6, 6), -5.0), np.full((4, 6, 6), 10.0)
    centres[0, 0, 0], centres[0, 3, 3], centres[0, 3, 4], centres[1, 5, 5] = 1, 3, 2, 0
    found = boxes.decode(centres, sizes, 8, (44, 48))
    shown = found.select(np.flatnonzero(found.scores > 0.4))
    assert shown.classes.tolist() == [0, 0, 1]
    assert shown.edges[:, [1, 2, 4, 5]].tolist() == [[18, 18, 38, 38], [0, 0, 14, 14], [34, 34, 44, 48]]
    assert shown.scores[0] == pytest.approx(1 / (1 + np.exp(-3)))
    assert len(boxes.decode(centres, sizes, 8, (44, 48), most=1)) == 2


def test_cleaned_scores_have_one_meaning():
    found = _flat((0, 0, 9, 9), (20, 0, 29, 9), (40, 0, 49, 9), (0, 40, 9, 49), classes=[0, 0, 0, 1], scores=[0.1, 0.2, 0.9, 0.6])
    cleaned = boxes.clean(found, Cleaning(0.5, (0.2, 0.7)))
    assert sorted(boxes.shown(cleaned).edges[:, 1].tolist()) == [20, 40]
    of_first = cleaned.of_class(0)
    assert of_first.edges[:, 1].tolist() == [40, 20, 0]
    assert of_first.scores.tolist() == pytest.approx([0.9375, 0.5, 0.25])
    assert (np.diff(cleaned.scores) <= 0).all()
    assert len(boxes.clean(Boxes.none(), Cleaning(0.5, (0.2, 0.7)))) == 0


def _answers():
    """Findings twice each, the second a little off; what scores 0.3 to 0.35 is false, what scores 0.4 and more is not."""
    draw = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(12):
        corners = np.array([(y, x) for y in range(0, 120, 40) for x in range(0, 120, 40)])[draw.permutation(9)]
        edges = np.c_[corners, corners + 20]
        truth.append(_flat(*edges[:5]))
        twice = np.concatenate([edges[:5], edges[:5] + np.array([0, 5, 0, 5]), edges[5:]])
        scores = np.r_[draw.uniform(0.6, 0.9, 5), draw.uniform(0.4, 0.6, 5), draw.uniform(0.3, 0.35, 4)]
        found.append(_flat(*twice, scores=scores))
    return truth, found


def test_cleaning_is_learnt():
    truth, found = _answers()
    cleaning = boxes.learn_cleaning(Target(TargetKind.BOXES, ("a",), "boxes"), found, truth)
    assert cleaning.overlap < 0.6
    assert 0.35 < cleaning.thresholds[0] <= 0.61
    for there, each in zip(truth, found, strict=True):
        shown = boxes.shown(boxes.clean(each, cleaning))
        assert len(shown) == 5
        assert overlaps(shown.edges, there.edges).max(axis=1) == pytest.approx(1)
    assert Cleaning.from_json(cleaning.to_json()) == cleaning


def test_a_class_that_is_nowhere_has_a_usual_threshold():
    truth, found = _answers()
    cleaning = boxes.learn_cleaning(Target(TargetKind.BOXES, ("a", "b"), "boxes"), found, truth)
    assert len(cleaning.thresholds) == 2
    assert 0 < cleaning.thresholds[1] < 1
    nothing = boxes.learn_cleaning(Target(TargetKind.BOXES, ("a", "b"), "boxes"), found, [Boxes.none()] * 12)
    assert len(nothing.thresholds) == 2


def test_slices_are_joined_to_boxes_of_a_volume():
    first, second, other = (10, 10, 20, 20), (11, 10, 22, 20), (50, 50, 60, 60)
    slices = [
        Boxes.none(),
        _flat(first, other, classes=[0, 1], scores=[0.5, 0.3]),
        _flat(second, scores=[0.9]),
        Boxes.none(),
        _flat(first, other, classes=[0, 0], scores=[0.4, 0.2]),
    ]
    found = boxes.joined(slices)
    assert found.edges.tolist() == [[1, 10, 10, 5, 22, 20], [1, 50, 50, 2, 60, 60], [4, 50, 50, 5, 60, 60]]
    assert found.classes.tolist() == [0, 1, 0]
    assert found.scores.tolist() == [0.9, 0.3, 0.2]
    assert len(boxes.joined(slices, gap=0)) == 4
    assert len(boxes.joined([Boxes.none()] * 3)) == 0


def test_two_boxes_of_a_slice_stay_two():
    pair = _flat((10, 10, 20, 20), (10, 14, 20, 24), scores=[0.9, 0.8])
    found = boxes.joined([pair, pair])
    assert found.edges.tolist() == [[0, 10, 10, 2, 20, 20], [0, 10, 14, 2, 20, 24]]


def test_the_part_of_a_box_in_a_slice():
    solid = Boxes.of(np.array([[2, 10, 10, 5, 20, 20], [4.6, 0, 0, 9, 5, 5]]), np.array([0, 1]))
    assert [boxes.in_slice(solid, z).classes.tolist() for z in (1, 2, 4, 5)] == [[], [0], [0], [1]]
    assert boxes.in_slice(solid, 2).edges.tolist() == [[0, 10, 10, 1, 20, 20]]


def test_boxes_around_the_parts_of_a_mask():
    mask = np.zeros((4, 12, 12), np.uint8)
    mask[1:3, 2:5, 3:7] = 2
    mask[3, 5, 7] = 2  # touches by a corner
    mask[0, 10:, 10:] = 1
    mask[0, 0, 0] = UNKNOWN
    found = boxes.boxes_of(mask, [0, 1])
    assert found.edges.tolist() == [[0, 10, 10, 1, 12, 12], [1, 2, 3, 4, 6, 8]]
    assert found.classes.tolist() == [0, 1]
    scores = np.zeros((3, 4, 12, 12))
    scores[2, 1:3], scores[2, 3] = 0.75, 0.5
    only = boxes.boxes_of(mask, [1], scores)
    assert only.scores.tolist() == pytest.approx([(24 * 0.75 + 0.5) / 25])
    assert len(boxes.boxes_of(np.zeros((1, 4, 4), np.uint8), [0, 1], np.zeros((3, 1, 4, 4)))) == 0


def _findings(found, case="case"):
    return Findings(case, boxes=found.edges, box_classes=found.classes, box_scores=found.scores)


def test_pictures_show_what_is_shown():
    rgb = np.full((160, 160, 3), 90, np.uint8)
    truth = _findings(_flat((30, 30, 90, 90)))
    strong, weak = _findings(_flat((40, 40, 100, 100), scores=[0.9])), _findings(_flat((40, 40, 100, 100), scores=[0.4]))
    both = boxes.picture(rgb, TARGET, strong, truth)
    dashes = boxes.picture(rgb, TARGET, weak, truth)
    changed = (both != rgb).any(axis=2)
    assert changed[70, 40]
    assert changed[99, 70]
    edge = dashes[30:90, 30]
    assert {tuple(each) for each in edge.tolist()} == {(0, 0, 0), (255, 255, 255)}
    assert (dashes[60, 99] == 90).all()
    assert (boxes.picture(rgb, TARGET, strong, truth, z=1) == 90).all()
    assert (boxes.picture(rgb[:40, :40], TARGET, strong) != 90).any()


def test_the_slice_to_show_is_that_of_the_largest_box():
    solid = Findings("case", boxes=np.array([[2.0, 0, 0, 7, 30, 30], [9, 0, 0, 10, 5, 5]]), box_classes=np.array([0, 0]))
    assert boxes.slice_of(solid, None) == 4
    assert boxes.slice_of(Findings("case"), solid) == 4
    assert boxes.slice_of(Findings("case")) == 0
