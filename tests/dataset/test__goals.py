"""What is learnt of each case: classes beside masks, boxes and measures, each as far as it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medloop import dataset as data
from medloop.dataset import Options, _classes, build, counts, folds, judged_by, shortcuts, snapshot, taught
from medloop.dataset.duplicates import Pair
from medloop.dataset.fingerprint import fingerprint, of_split
from medloop.errors import InputError, Refused
from medloop.labels import Labelled
from medloop.types import Case, Dataset, ImageRef, Label, Target, TargetKind, Truth

MASKS = Target(TargetKind.MASKS, ("nucleus",), "masks")
BOXES = Target(TargetKind.BOXES, ("red", "white"), "boxes")
MEASURES = Target(TargetKind.MEASURES, ("length", "area"), "measures", units=("mm", "mm2"))


def masks(known: list[bool], digests: list[str] | None = None) -> Truth:
    names = digests or [f"m{n}" for n in range(len(known))]
    refs = tuple(ImageRef(f"{n}", "raster", (f"/m/{n}",), digest=names[n]) if there else None for n, there in enumerate(known))
    return Truth(MASKS, np.array(known), masks=refs, lookup=((0, 0), (255, 1)))


def boxes(classes: list[list[int]]) -> Truth:
    edges = tuple(np.array([[0, n, k, 1, n + 2, k + 2] for k in each], np.float64).reshape(-1, 6) for n, each in enumerate(classes))
    return Truth(
        BOXES, np.ones(len(classes), np.bool_), boxes=edges, box_classes=tuple(np.array(each, np.int64) for each in classes)
    )


def only(truth: Truth, found: tuple[Labelled, object]) -> tuple[Labelled, object]:
    """The same cases without classes."""
    cases, survey = found
    labels = tuple(Label(case.name, "", target=truth.target.name) for case in cases.cases)
    return replace(cases, target=truth.target, labels=labels, further=(truth,)), survey


def beside(truth: Truth, found: tuple[Labelled, object]) -> tuple[Labelled, object]:
    cases, survey = found
    return replace(cases, further=(truth,)), survey


def mask_names(dataset: Dataset) -> list[str | None]:
    return [None if ref is None else ref.name for ref in dataset.further[0].masks]


def test_truths_follow_their_cases(labelled) -> None:
    cases, survey = beside(masks([n % 3 > 0 for n in range(60)]), labelled(["a", "b"] * 30))
    survey = replace(survey, refs=survey.refs[::-1][:-7])
    built, _ = build(cases, survey, [])
    assert len(built.cases) == 53
    assert mask_names(built) == [f"{int(case.name)}" if int(case.name) % 3 else None for case in built.cases]
    assert built.class_known is None


def test_a_truth_left_in_another_order_would_be_caught(labelled, monkeypatch) -> None:
    def careless(self: Truth, rows: np.ndarray) -> Truth:
        return replace(self, known=self.known[: len(rows)], masks=self.masks[: len(rows)])

    monkeypatch.setattr(Truth, "select", careless)
    cases, survey = beside(masks([True] * 20), labelled(["a", "b"] * 10))
    built, _ = build(cases, replace(survey, refs=survey.refs[3:]), [])
    assert mask_names(built) != [f"{int(case.name)}" for case in built.cases]


def test_cases_of_a_class_too_small_to_learn_keep_their_masks(labelled) -> None:
    cases, survey = beside(masks([True] * 21), labelled([*["a", "b"] * 10, "rare"]))
    built, findings = build(cases, survey, [], Options(folds=3))
    assert list(findings.left_out) == ["rare"]
    assert built.values[-1] == -1
    assert built.class_known is not None
    assert built.class_known.tolist() == [True] * 20 + [False]
    assert counts(built) == {"a": 10, "b": 10}
    alone, _ = build(cases, survey, [], Options(folds=3, targets=("classes",)))
    assert len(alone.cases) == 20
    assert alone.class_known is None
    assert alone.further == ()


def test_a_case_without_class_is_kept_for_its_mask_and_dropped_without(labelled) -> None:
    cases, survey = beside(masks([True] * 19 + [False]), labelled(["a", "b"] * 10))
    said = tuple(replace(label, value="") if at >= 18 else label for at, label in enumerate(cases.labels))
    built, findings = build(replace(cases, labels=said), survey, [])
    assert [case.name for case in built.cases][-1] == "0018"
    assert findings.dropped == [{"name": "0019", "reason": "nothing that is learnt is known of it"}]


def test_the_split_is_the_same_with_masks_and_without(labelled) -> None:
    cases, survey = beside(masks([True] * 61), labelled([*["a", "b", "c"] * 20, "rare"], [f"p{n // 2}" for n in range(61)]))
    both, _ = build(cases, survey, [], Options(seed=3))
    alone, _ = build(cases, survey, [], Options(seed=3, targets=("classes",)))
    where = {case.name: str(part) for case, part in zip(both.cases, both.split, strict=True)}
    assert [where[case.name] for case in alone.cases] == alone.split.tolist()


@pytest.mark.parametrize("asked", [None, ("classes",), ("masks",)])
def test_masks_alone(labelled, asked) -> None:
    cases, survey = only(masks([True] * 12), labelled(["a"] * 12))
    pooled, _ = build(cases, survey, [Pair(0, 1, "exact", 1.0)], Options(targets=asked, folds=3))
    assert sorted(np.bincount(folds(pooled, 3)).tolist()) == [4, 4, 4]
    built, findings = build(cases, survey, [Pair(0, 1, "exact", 1.0)], Options(targets=asked))
    assert built.target == MASKS
    assert built.values.tolist() == [0] * 12
    assert set(built.split) == {"train", "val", "test"}
    assert built.split[0] == built.split[1]
    assert findings.conflicts == []
    assert counts(built) == {}
    assert list(shortcuts._questions(built, np.arange(12))) == []


def test_two_cases_are_one_to_learn_from_and_one_to_judge_by(labelled) -> None:
    built, _ = build(*only(masks([True, True]), labelled(["a"] * 2)), [])
    assert sorted(built.split) == ["test", "train"]


def test_boxes_of_a_rare_class_are_in_training_and_test(labelled) -> None:
    truth = boxes([[0, 1] if n in (4, 9) else [0] if n % 2 else [] for n in range(60)])
    for seed in range(5):
        built, _ = build(*only(truth, labelled(["a"] * 60)), [], Options(seed=seed))
        where = [str(part) for part, each in zip(built.split, built.further[0].box_classes, strict=True) if 1 in each]
        assert sorted(where) == ["test", "train"]


def test_a_target_without_labels_is_an_error(labelled) -> None:
    found = beside(masks([True] * 20), labelled(["a", "b"] * 10))
    with pytest.raises(InputError, match="no labels of 'boxes'") as error:
        build(*found, [], Options(targets=("classes", "boxes", "reconstruction")))
    assert "classes, masks" in error.value.allowed
    with pytest.raises(InputError, match="no labels of 'classes'"):
        build(*only(masks([True] * 20), labelled(["a"] * 20)), [], Options(targets=("classes", "masks")))
    with pytest.raises(InputError, match="only reconstruction"):
        build(*found, [], Options(targets=("reconstruction",)))


def test_helper_tasks_need_no_labels(labelled) -> None:
    cases, survey = beside(masks([True] * 20), labelled(["a", "b"] * 10))
    built, _ = build(cases, survey, [], Options(targets=("masks", "reconstruction")))
    assert built.target == MASKS


def test_a_part_of_the_class_labels_leaves_all_masks(labelled) -> None:
    cases, survey = beside(masks([True] * 200), labelled(["a", "b"] * 100))
    options = Options(label_fraction=0.2, seed=1)
    both, findings = build(cases, survey, [], options)
    assert len(both.cases) == 200
    assert both.further[0].known.all()
    assert both.class_known is not None
    learnt = both.indices("train", "val")
    assert 25 <= both.class_known[learnt].sum() <= 40
    assert both.class_known[both.indices("test")].all()
    assert any("what else is known of all" in note for note in findings.notes)
    alone, _ = build(cases, survey, [], replace(options, targets=("classes",)))
    told = {case.name for case, known in zip(both.cases, both.class_known, strict=True) if known}
    assert {case.name for case in alone.cases} == told


def test_a_part_of_the_masks_alone_is_a_part_of_the_cases(labelled) -> None:
    built, _ = build(*only(masks([True] * 100), labelled(["a"] * 100)), [], Options(label_fraction=0.3))
    assert 20 <= len(built.indices("train", "val")) <= 28
    assert len(built.indices("test")) == 20


@pytest.mark.parametrize("names", [("classes", "masks"), ("classes",), ("masks",)])
def test_out_of_fold_all_are_judged_and_a_part_is_learnt_from(labelled, names) -> None:
    cases, survey = beside(masks([True] * 100), labelled(["a", "b"] * 50))
    whole, _ = build(cases, survey, [], Options(folds=5, targets=names))
    built, findings = build(cases, survey, [], Options(label_fraction=0.3, folds=5, targets=names))
    assert built.cases == whole.cases
    assert np.array_equal(built.values, whole.values)
    assert all(truth.known.all() for truth in built.further)
    assert built.fingerprint != whole.fingerprint
    assert any("all are judged" in note for note in findings.notes)
    rows = np.arange(0, 100, 2)
    learnt, of = taught(built, rows)
    if names == ("classes", "masks"):
        assert np.array_equal(of, rows)
        assert 25 <= learnt.class_known.sum() <= 35
        assert (learnt.values[~learnt.class_known] == -1).all()
        assert learnt.further[0].known.all()
    else:
        assert set(of) < set(rows)
        assert 8 <= len(of) <= 22
    assert taught(whole, rows)[1] is rows


@pytest.mark.parametrize("values", [[1.0, 2.0, ""] * 10, [(("f", 1.0), ("g", 0.0)), (("f", 0.0), ("g", 1.0)), ""] * 10])
def test_unknown_numbers_and_findings(labelled, values) -> None:
    cases, survey = beside(masks([True] * 30), labelled(values))
    built, _ = build(cases, survey, [])
    assert built.class_known is not None
    assert built.class_known.sum() == 20
    assert np.isnan(built.values[~built.class_known]).all()
    assert set(built.split) == {"train", "val", "test"}
    assert build(cases, survey, [], Options(targets=("classes",)))[0].class_known is None


def test_one_person_needs_a_split_and_a_word(labelled) -> None:
    truth, people = masks([True] * 3), ["p"] * 3
    with pytest.raises(Refused, match="one patient"):
        build(*only(truth, labelled(["a"] * 3, people, splits=["train", "train", "test"])), [])
    with pytest.raises(Refused, match="one patient"):
        build(*only(truth, labelled(["a"] * 3, people)), [], Options(accept_leak=("patient",)))
    for parts in (["train", "train", "test"], ["train", "train", "val"]):
        built, findings = build(*only(truth, labelled(["a"] * 3, people, splits=parts)), [], Options(accept_leak=("patient",)))
        assert built.split.tolist() == ["train", "train", "test"]
        assert [leak["splits"] for leak in findings.leaks if "test" in leak["splits"]] == [["train", "test"]]
        assert built.groups.tolist() == [0, 1, 2]
        assert built.patients.tolist() == [0, 0, 0]
        assert any("of one person" in note for note in findings.notes)


def test_copies_of_one_person_stay_together(labelled) -> None:
    found = only(masks([True] * 4), labelled(["a"] * 4, ["p"] * 4, splits=["train", "train", "train", "test"]))
    built, _ = build(*found, [Pair(0, 2, "near", 0.99)], Options(accept_leak=("patient",)))
    assert built.groups.tolist() == [0, 1, 0, 2]


def test_an_accepted_leak_is_told_where_nobody_knows_the_patients(labelled) -> None:
    found = only(masks([True] * 3), labelled(["a"] * 3, splits=["train", "train", "test"]))
    _, findings = build(*found, [], Options(accept_leak=("patient",)))
    assert data.WHOSE in findings.notes
    assert any("too few for a validation part" in note for note in findings.notes)
    assert data.WHOSE not in build(*only(masks([True] * 3), labelled(["a"] * 3)), [])[1].notes


def marks(truth: Truth, digest: str = "") -> str:
    count = len(truth)
    cases = [labelled_case(n) for n in range(count)]
    zeros, split = np.zeros(count, np.int64), np.array(["train"] * count)
    return fingerprint(cases, Target(TargetKind.BINARY, ("n", "y")), zeros, split, np.arange(count), (truth,))


def labelled_case(number: int) -> Case:
    return Case(f"{number}", (ImageRef(f"{number}", "raster", (f"/x/{number}",), digest=f"d{number}"),))


def test_the_fingerprint_follows_masks_boxes_and_numbers(tmp_path) -> None:
    first = masks([True, True, False])
    seen = {marks(first), marks(masks([True, False, False])), marks(masks([True, True, False], ["m0", "other", "m2"]))}
    seen |= {marks(replace(first, lookup=((0, 0), (128, 1)))), marks(boxes([[0], [1], []])), marks(boxes([[0], [0], []]))}
    numbers = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, np.nan]])
    measured = Truth(MEASURES, np.array([True, True, False]), numbers=numbers)
    seen |= {marks(measured), marks(replace(measured, numbers=numbers + 1))}
    assert len(seen) == 8
    turned = boxes([[0, 1], [1], []])
    assert marks(turned) == marks(
        replace(turned, boxes=(turned.boxes[0][::-1], *turned.boxes[1:]), box_classes=(np.array([1, 0]), *turned.box_classes[1:]))
    )


def test_the_fingerprint_of_masks_is_of_their_bytes(tmp_path) -> None:
    def of(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        ref = ImageRef("m", "raster", (str(path),), stamp=f"{name}{content!r}")
        return marks(replace(masks([True]), masks=(ref,)))

    assert of("a.png", b"one") == of("b.png", b"one") != of("a.png", b"two")


def test_looks_are_counted_by_the_masks_too(labelled) -> None:
    one, _ = build(*only(masks([True] * 12), labelled(["a"] * 12)), [])
    two, _ = build(*only(masks([True] * 12, ["x"] * 12), labelled(["a"] * 12)), [])
    assert of_split(one, "test") != of_split(two, "test")


def test_a_model_is_judged_under_its_own_tissues(labelled) -> None:
    cases, survey = labelled(["a"] * 4)
    labels = tuple(Label(case.name, "", target="masks") for case in cases.cases)
    refs = masks([True] * 4).masks
    truth = Truth(
        Target(TargetKind.MASKS, ("Nucleus", "plasma"), "masks"),
        np.array([True, True, True, False]),
        refs,
        ((0, 0), (1, 1), (2, 2)),
    )
    model = Target(TargetKind.MASKS, ("cell", "nucleus"), "masks")
    found = replace(cases, target=truth.target, labels=labels, further=(truth, boxes([[1, 0], [0], [], [1]])))
    built, _ = judged_by(found, survey, [], model, {"d0"}, (model, Target(TargetKind.BOXES, ("white", "blue"), "boxes")))
    assert [case.name for case in built.cases] == ["0001", "0002", "0003"]
    assert built.further[0].lookup == ((0, 0), (1, 2), (2, 255))
    assert built.further[0].known.tolist() == [True, True, False]
    assert [each.tolist() for each in built.further[1].box_classes] == [[], [], [0]]
    assert built.further[1].boxes[2].shape == (1, 6)


def test_a_model_of_classes_and_measures_is_judged_by_either(labelled) -> None:
    cases, survey = labelled(["a", "b", "other", "b"])
    truth = Truth(
        MEASURES, np.array([True, False, True, False]), numbers=np.array([[1, 2], [np.nan] * 2, [3, 4], [np.nan] * 2], float)
    )
    model = Target(TargetKind.MEASURES, ("area", "volume"), "sizes", units=("mm2", "ml"))
    classes = Target(TargetKind.BINARY, ("a", "b"))
    built, _ = judged_by(replace(cases, further=(truth,)), survey, [], classes, frozenset(), (model,))
    assert built.values.tolist() == [0, 1, -1, 1]
    assert built.class_known is not None
    assert built.class_known.tolist() == [True, True, False, True]
    assert np.array_equal(built.further[0].numbers, [[2, np.nan], [np.nan] * 2, [4, np.nan], [np.nan] * 2], equal_nan=True)


def test_unknown_classes_that_count_as_one_would_be_caught(labelled, monkeypatch) -> None:
    monkeypatch.setattr(_classes, "UNSAID", "nothing is called this")
    cases, survey = beside(masks([True] * 20), labelled(["a", "b"] * 10))
    with pytest.raises(KeyError):
        build(replace(cases, labels=(replace(cases.labels[0], value=""), *cases.labels[1:])), survey, [])


def test_masks_lost_with_their_class_would_be_caught(labelled, monkeypatch) -> None:
    kept = snapshot.fewer_labels

    def careless(goals, *rest):
        return replace(kept(goals, *rest), further=())

    monkeypatch.setattr(snapshot, "fewer_labels", careless)
    with pytest.raises((IndexError, AssertionError)):
        test_a_part_of_the_class_labels_leaves_all_masks(labelled)
