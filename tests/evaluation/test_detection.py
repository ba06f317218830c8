"""Average precision and FROC by hand and beside pycocotools; intervals by patient; millimetres."""

import contextlib
import io

import numpy as np
import pytest

from medloop.evaluation import detection, intervals, matching
from medloop.evaluation.matching import match
from medloop.evaluation.rectangles import Boxes

CLASSES = ("a", "b", "c")
BOX = (0, 0, 0, 1, 10, 10)
FAR = (0, 50, 50, 1, 60, 60)


def _boxes(*edges, classes=None, scores=None):
    return Boxes.of(np.array(edges, float), np.zeros(len(edges)) if classes is None else classes, scores)


def _drawn(cases=60, digits=2):
    """Random findings with answers near them, missed ones and false ones; with two digits some have equal scores."""
    draw = np.random.default_rng(5)
    every = []
    for _ in range(cases):
        count, false = draw.integers(0, 15), draw.integers(0, 40)
        low, size = draw.uniform(0, 80, (2, count + false, 2))
        edges = np.insert(np.c_[low, low + 5 + size / 2], (0, 2), (0, 1), axis=1)
        classes = draw.integers(0, 3, count + false)
        near = np.flatnonzero(draw.random(count) < 0.8)
        moved = edges[near] + draw.normal(0, 2, (len(near), 6)) * [0, 1, 1, 0, 1, 1]
        found = np.concatenate([moved, edges[count:]])
        scores = np.round(np.r_[draw.beta(4, 2, len(near)), draw.beta(2, 4, false)], digits)
        every.append((Boxes.of(edges[:count], classes[:count]), Boxes.of(found, np.r_[classes[near], classes[count:]], scores)))
    return every


def _by_coco(coco, cocoeval, every):
    """``map``, ``map50``, and ``map50`` of each class."""
    truth, answers = [], []
    for image, (there, found) in enumerate(every, 1):
        for boxes, rows in ((there, truth), (found, answers)):
            for (_, y0, x0, _, y1, x1), kind, score in zip(boxes.edges, boxes.classes, boxes.scores, strict=True):
                row = {"image_id": image, "category_id": int(kind) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(score)}
                rows.append(row | {"id": len(rows) + 1, "area": (x1 - x0) * (y1 - y0), "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {"images": [{"id": i + 1} for i in range(len(every))], "annotations": truth, "categories": _categories()}
        known.createIndex()
        run = cocoeval.COCOeval(known, known.loadRes(answers), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [*run.stats[:2], *run.eval["precision"][0, :, :, 0, 2].mean(axis=0)]


def _categories():
    return [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]


def _matched(every):
    return [match(truth, found, len(CLASSES)) for truth, found in every]


def _precisions(cases):
    figures = detection.score(CLASSES, cases, np.arange(len(cases)))
    return [figures[name].value for name in ("map", "map50", "map50_a", "map50_b", "map50_c")]


def test_average_precision_is_that_of_pycocotools():
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    every = _drawn()
    assert _precisions(_matched(every)) == pytest.approx(_by_coco(coco, cocoeval, every), abs=1e-12)


def test_average_precision_is_what_pycocotools_2_0_11_said():
    expected = [0.24571742545746814, 0.5336214114342571, 0.47681184587922315, 0.5123158637174713, 0.6117365247060769]
    assert _precisions(_matched(_drawn())) == pytest.approx(expected, abs=1e-9)


def test_average_precision_by_hand():
    truth = _boxes(BOX, FAR)
    found = _boxes(BOX, (0, 90, 0, 1, 99, 9), FAR, scores=[0.9, 0.8, 0.7])
    figures = detection.score(("a",), [match(truth, found, 1)], np.zeros(1))
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert figures["map50"].value == pytest.approx(expected)
    assert figures["map"].value == pytest.approx(expected)
    assert figures["map50"].reason == intervals.FEW_PATIENTS


@pytest.mark.parametrize(("width", "right"), [(5.0, 1), (4.9, 0), (7.5, 6)])
def test_an_answer_is_right_from_its_overlap_on(width, right):
    case = match(_boxes(BOX), _boxes((0, 0, 0, 1, 10, width)), 1)
    assert case.right[:, 0].sum() == right


def test_an_overlap_off_by_an_edge_is_seen(monkeypatch):
    whole, wider = matching.overlaps, np.array([0, 0, 0, 0, 1, 1])
    monkeypatch.setattr(matching, "overlaps", lambda first, second: whole(first + wider, second + wider))
    case = match(_boxes(BOX), _boxes((0, 0, 0, 1, 10, 4.9)), 1)
    assert case.right[:, 0].sum() != 0


def test_a_second_answer_on_a_finding_is_wrong_for_precision_and_nothing_for_froc():
    found = _boxes(BOX, (0, 1, 1, 1, 10, 10), FAR, scores=[0.9, 0.8, 0.7])
    case = match(_boxes(BOX), found, 1)
    assert case.right[0].tolist() == [True, False, False]
    assert case.hit.tolist() == [True, False, False]
    assert case.false.tolist() == [False, False, True]


def test_a_centre_inside_hits_though_the_box_is_too_small():
    case = match(_boxes(BOX), _boxes((0, 4, 4, 1, 6, 6)), 1)
    assert case.hit.tolist() == [True]
    assert not case.right.any()


def test_answers_of_another_class_hit_nothing():
    case = match(_boxes(BOX), _boxes(BOX, classes=[1]), 2)
    assert case.false.tolist() == [True]
    assert case.findings.tolist() == [1, 0]


def test_froc_by_hand():
    """Four cases; false answers at 0.95, 0.8, 0.8 and 0.3; hits at 0.9, 0.8 (with two false ones) and 0.2; one finding missed."""
    found = [
        _boxes(BOX, FAR, scores=[0.9, 0.95]),
        _boxes(BOX, FAR, scores=[0.8, 0.8]),
        _boxes(BOX, FAR, (0, 80, 0, 1, 90, 9), scores=[0.2, 0.8, 0.3]),
        Boxes.none(),
    ]
    cases = [match(_boxes(BOX), each, 1) for each in found]
    figures = detection.score(("a",), cases, np.arange(4))
    wanted = {"froc_0.125": 0, "froc_0.25": 0.25, "froc_0.5": 0.25, "froc_1": 0.75, "froc_8": 0.75}
    assert {name: figures[name].value for name in wanted} == wanted
    falses, sensitivity = detection.curve(cases, 0)
    assert falses.tolist() == [0, 0.25, 0.25, 0.75, 1, 1]
    assert sensitivity.tolist() == [0, 0, 0.25, 0.5, 0.5, 0.75]
    assert figures["shown_sensitivity"].value == 0.5
    assert figures["shown_false"].value == 0.75


def test_weights_are_repeated_cases():
    """Where no two scores are equal; of equal ones the order among cases decides."""
    cases = _matched(_drawn(12, digits=9))
    block = next(intervals.weights(np.arange(12), seed=3, rounds=20))
    ranks = [matching.ranked(cases, [k]) for k in range(3)]
    for column in range(20):
        repeated = [case for case, often in zip(cases, block[:, column], strict=True) for _ in range(int(often))]
        for k, each in enumerate(ranks):
            again = matching.ranked(repeated, [k])
            whole = np.ones((len(repeated), 1))
            for statistic in (detection._precision, detection._sensitivity):
                weighed = statistic(each)(block)[:, column]
                np.testing.assert_allclose(weighed, statistic(again)(whole)[:, 0], rtol=1e-12)


def test_blocks_of_rounds_change_nothing(monkeypatch):
    cases, patients = _matched(_drawn(12)), np.arange(12) // 2
    whole = detection.score(CLASSES, cases, patients)
    monkeypatch.setattr(detection, "_BLOCK", 5000)
    parts = detection.score(CLASSES, cases, patients)
    assert {name: (each.value, each.low, each.high) for name, each in parts.items()} == {
        name: (each.value, each.low, each.high) for name, each in whole.items()
    }


def _width():
    """How wide the interval is for 12 patients with 6 cases each, who are all found or all missed."""
    cases = [match(_boxes(BOX), _boxes(BOX if patient % 2 else FAR), 1) for patient in range(12) for _ in range(6)]
    found = detection.score(("a",), cases, np.repeat(np.arange(12), 6))["map50"]
    return found.high - found.low


def test_intervals_are_by_patient():
    assert _width() > 0.5


def test_intervals_by_box_are_seen(monkeypatch):
    whole = intervals.weights
    monkeypatch.setattr(intervals, "weights", lambda patients, seed, rounds=1000: whole(np.arange(len(patients)), seed, rounds))
    assert not _width() > 0.5


def test_a_perfect_figure_is_not_certain():
    cases = [match(_boxes(BOX), _boxes(BOX), 1) for _ in range(10)]
    found = detection.score(("a",), cases, np.arange(10))
    assert found["map50"].value == found["froc_1"].value == 1
    assert found["map50"].low == found["froc_1"].low == pytest.approx(intervals.lower_bound(1.0, 10, 0.025))
    assert found["shown_false"].value == 0


def test_a_class_that_is_not_there_is_left_out_of_the_mean():
    cases = [match(_boxes(BOX), _boxes(BOX, FAR, classes=[0, 1]), 2) for _ in range(6)]
    found = detection.score(("a", "b"), cases, np.arange(6))
    assert found["map50"].value == 1
    assert found["map50_b"].value is None
    assert found["map50_b"].reason


def test_distances_and_diameters_in_mm():
    truth, found = _boxes((2, 10, 10, 6, 20, 30)), _boxes((3, 10, 12, 7, 24, 30), scores=[0.8])
    cases = [match(truth, found, 1, (5.0, 1.0, 0.5)), match(truth, _boxes(FAR), 1, (5.0, 1.0, 0.5)), match(truth, found, 1)]
    figures = detection.score(("a",), cases, np.arange(3))
    assert figures["centre_distance_mm"].value == pytest.approx(np.sqrt(5**2 + 2**2 + 0.5**2))
    pairs = matching.pairs(cases, 0.5)
    assert pairs.case.tolist() == [0]
    assert (pairs.diameter[0], pairs.diameter_found[0], pairs.unit) == (20, 20, "mm")
    weak = _boxes((3, 10, 12, 7, 24, 30), scores=[0.4])
    assert len(matching.pairs([match(truth, weak, 1, (5.0, 1.0, 0.5))], 0.5).case) == 0


def test_without_spacing_distances_are_in_pixels_and_a_single_slice_has_no_length():
    figures = detection.score(("a",), [match(_boxes(BOX), _boxes((0, 0, 0, 1, 10, 12)), 1)] * 6, np.arange(6))
    assert figures["centre_distance_px"].value == 1
    assert figures["diameter_error_px"].value == 2
    assert matching.diameters(np.array([[0, 0, 0, 1, 2, 2]]), np.array([9.0, 1, 1])).tolist() == [2]
    nothing = detection.score(("a",), [match(_boxes(BOX), Boxes.none(), 1)] * 6, np.arange(6))
    assert nothing["diameter_error_px"].value is None
    assert nothing["map50"].value == 0


def test_own_precision_tells_cases_apart():
    assert detection.own_precision(match(_boxes(BOX), _boxes(BOX), 1)) == 1
    assert detection.own_precision(match(_boxes(BOX), _boxes(FAR), 1)) == 0
    assert detection.own_precision(match(Boxes.none(), _boxes(BOX, scores=[0.3]), 1)) == pytest.approx(0.7)


def test_two_answers_to_one_case_have_a_figure_in_all_and_of_each_class_that_is_there():
    there = _boxes(BOX)
    good, bad = (match(there, _boxes(edges), 2) for edges in (BOX, FAR))
    one, two = detection.rivals(good, bad)
    np.testing.assert_array_equal(one, [1, 1, np.nan])
    np.testing.assert_array_equal(two, [0, 0, np.nan])
    false = match(Boxes.none(), _boxes(BOX, scores=[0.3]), 2)
    np.testing.assert_allclose(detection.rivals(false, false)[0], [0.7, np.nan, np.nan])
