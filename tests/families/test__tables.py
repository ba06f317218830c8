from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from medloop import features
from medloop.errors import InputError
from medloop.families import _search
from medloop.families._tables import Table, Tables, table
from medloop.features import Block, _table, feature
from medloop.types import TargetKind

LABELS = np.arange(40) % 2


def _never(*anything):
    raise AssertionError("computed again")


def test_folds_and_predictions_share_the_tables(make_job, monkeypatch):
    first = make_job(TargetKind.BINARY, LABELS, train=np.arange(30))
    chosen = _search.features_of(first)
    rows = Tables(first, chosen)[0]
    every = features.extract(first.arrays.take(np.arange(40)), chosen[0], {})
    np.testing.assert_array_equal(rows.take(np.array([3, 1])), every[[3, 1]])
    monkeypatch.setattr(_table, "extract", _never)
    other = dataclasses.replace(first, train=np.arange(10, 40))
    np.testing.assert_array_equal(Tables(other, chosen)[0].take(np.array([0])), every[[10]])
    held = table(first.arrays, np.arange(30, 40), chosen[0], {}, first.compute, first.cache)
    np.testing.assert_array_equal(held.take(np.arange(10)), every[30:])


def test_what_is_there_costs_nothing_and_the_rest_is_foreseen(make_job):
    job = make_job(TargetKind.BINARY, LABELS)
    chosen = _search.features_of(job)
    tables = Tables(job, chosen)
    assert tables.expected(0) > 0
    width = tables.width(0)
    assert tables[0].width == width
    assert tables.expected(0) == 0
    assert Tables(job, chosen).expected(0) == 0, "it is in the cache"
    assert Tables(dataclasses.replace(job, cache=None), chosen).expected(0) > 0


def test_a_vocabulary_is_learnt_from_training_cases_only(make_job, stored_arrays):
    sift = [{"name": "sift", "params": {"words": 3, "components": 4, "side": 0}}]
    job = make_job(TargetKind.BINARY, LABELS, train=np.arange(20), features=sift)
    pixels = job.arrays.take(np.arange(40))
    pixels[20:] = 255 - pixels[20:]
    other = dataclasses.replace(job, arrays=stored_arrays(pixels))
    states = []
    for each in (job, other):
        tables = Tables(each, _search.features_of(each))
        _ = tables[0]
        states.append(tables.states[0])
    assert states[0].keys() == states[1].keys() != set()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key])


def test_few_wanted_images_are_computed_alone(make_job, monkeypatch):
    job = make_job(TargetKind.BINARY, LABELS, train=np.arange(3))
    seen = []
    honest = _table.extract
    monkeypatch.setattr(_table, "extract", lambda batch, *rest: seen.append(len(batch)) or honest(batch, *rest))
    _ = Tables(job, _search.features_of(job))[0]
    assert seen == [3]


@pytest.mark.parametrize("cache", [True, False])
def test_with_and_without_cache_alike(make_job, cache):
    job = make_job(TargetKind.BINARY, LABELS, train=np.arange(5, 35))
    chosen = _search.features_of(job)
    expected = features.extract(job.arrays.take(np.arange(5, 35)), chosen[0], {})
    found = Tables(job if cache else dataclasses.replace(job, cache=None), chosen)[0]
    np.testing.assert_array_equal(found.take(np.arange(30)), expected)


def test_columns_are_read_by_name():
    draw = np.random.default_rng(0)
    values = draw.normal(size=(5, 6)).astype(np.float32)
    rows = np.array([2, 0])
    named = Table(values, np.arange(5), (Block("one", 1), Block("two", 2), Block("three", 3)))
    np.testing.assert_array_equal(named.take(rows, ("three", "one")), values[rows][:, [0, 3, 4, 5]])
    assert named.widths(("three", "one")) == [1, 3]
    np.testing.assert_array_equal(named.take(rows), values[rows])
    assert named.widths() == [1, 2, 3]
    plain = Table(values, np.arange(5))
    np.testing.assert_array_equal(plain.take(rows, ("one",)), values[rows])
    assert plain.widths() == [6]
    with pytest.raises(InputError, match="three"):
        named.take(rows, ("thre",))


def test_features_may_join_later(make_job):
    job = make_job(TargetKind.BINARY, LABELS)
    tables = Tables(job, _search.features_of(job))
    other = feature("intensity", {"regions": 5})
    assert tables.add(tables.features[1]) == 1
    assert tables.add(other) == 2
    assert len(tables) == 3
    assert tables.took(2) == 0
    assert tables[2].width == features.extract(job.arrays.take([0]), other, tables.states[2]).shape[1]
    assert tables.took(2) > 0
