"""The fingerprint follows the content and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medloop import dataset as data
from medloop.dataset.fingerprint import fingerprint, of_split
from medloop.types import Case, Dataset, ImageRef, Split, Target, TargetKind


def made() -> Dataset:
    refs = [ImageRef(name=f"{n}", reader="raster", files=(f"/a/{n}",), digest=f"d{n}") for n in range(12)]
    split = np.array(["train"] * 8 + ["test"] * 4)
    values, groups = np.array([0, 1] * 6), np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    return Dataset(
        tuple(Case(ref.name, (ref,)) for ref in refs), Target(TargetKind.BINARY, ("n", "y")), values, groups, groups, split, ""
    )


def mark(dataset: Dataset) -> str:
    return fingerprint(dataset.cases, dataset.target, dataset.values, dataset.split, dataset.groups)


def test_order_names_folders_and_group_numbers_do_not_matter() -> None:
    first = made()
    order = np.random.default_rng(0).permutation(12)
    cases = [first.cases[index] for index in order]
    moved = tuple(
        Case(f"new/{case.name}", (replace(case.images[0], name=f"new/{case.name}", files=("/elsewhere",)),)) for case in cases
    )
    other = replace(
        first, cases=moved, values=first.values[order], groups=99 - first.groups[order], split=first.split[order],
    )  # fmt: skip
    assert mark(first) == mark(other)


def changed(what: str) -> Dataset:
    dataset = made()
    if what == "picture":
        refs = (replace(dataset.cases[3].images[0], digest="other"),)
        cases = list(dataset.cases)
        cases[3] = replace(cases[3], images=refs)
        return replace(dataset, cases=tuple(cases))
    if what == "target":
        return replace(dataset, target=Target(TargetKind.BINARY, ("n", "z")))
    arrays = {"values": dataset.values.copy(), "split": dataset.split.copy(), "groups": dataset.groups.copy()}
    arrays[what][3] = {"values": 0, "split": "test", "groups": 4}[what]
    return replace(dataset, **arrays)


@pytest.mark.parametrize("what", ["picture", "values", "split", "groups", "target"])
def test_any_change_of_content_changes_it(what: str) -> None:
    assert mark(changed(what)) != mark(made())


def test_unknown_and_absent_differ() -> None:
    dataset = made()
    target = Target(TargetKind.MULTILABEL, ("a", "b"))
    flags = np.zeros((12, 2), np.float32)
    unknown = flags.copy()
    unknown[0, 0] = np.nan
    marks = {fingerprint(dataset.cases, target, values, dataset.split, dataset.groups) for values in (flags, unknown)}
    assert len(marks) == 2


def test_a_split_has_one_of_its_own() -> None:
    first = made()
    other = changed("picture")
    assert of_split(first, Split.TEST) == of_split(other, Split.TEST)
    assert of_split(first, Split.TRAIN) != of_split(other, Split.TRAIN)


def test_building_twice_gives_the_same(labelled) -> None:
    cases, survey = labelled(["a", "b"] * 20)
    assert data.build(cases, survey, [])[0].fingerprint == data.build(cases, survey, [])[0].fingerprint
    assert data.build(cases, survey, [])[0].fingerprint != data.build(cases, survey, [], data.Options(seed=1))[0].fingerprint
