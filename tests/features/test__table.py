from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from medloop import features
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.features import _table


@pytest.fixture
def pictures(stored_arrays):
    draw = np.random.default_rng(0)
    return stored_arrays(draw.integers(0, 255, (600, 1, 1, 24, 24), dtype=np.uint8), shards=3)


def test_workers_and_one_process_and_memory_agree(pictures, tmp_path):
    hog = features.feature("hog")
    wanted = np.arange(599, -1, -1)
    direct = features.extract(pictures.take(wanted), hog, {})
    with Compute(2, few=0) as compute:
        mapped = features.table(pictures, wanted, hog, state={}, compute=compute, cache=tmp_path / "cache")
        sent = features.table(pictures, wanted, hog, state={}, compute=compute)
    np.testing.assert_array_equal(mapped, direct)
    np.testing.assert_array_equal(sent, direct)
    assert isinstance(mapped, np.memmap)
    assert not list((tmp_path / "cache").rglob("*part*")), "pieces go when the table is whole"


def test_a_second_run_computes_nothing(pictures, tmp_path, monkeypatch):
    hog = features.feature("hog")
    with Compute(0) as compute:
        first = features.table(pictures, np.arange(300), hog, state={}, compute=compute, cache=tmp_path)
        monkeypatch.setattr(_table, "extract", _never)
        second = features.table(pictures, np.arange(300), hog, state={}, compute=compute, cache=tmp_path)
        np.testing.assert_array_equal(first, second)
        with pytest.raises(AssertionError, match="computed again"):
            features.table(pictures, np.arange(301), hog, state={}, compute=compute, cache=tmp_path)


def test_a_run_that_was_stopped_goes_on_where_it_was(pictures, tmp_path, monkeypatch):
    hog, done = features.feature("hog"), []
    real = _table.extract

    def dies(batch, *rest):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(len(batch))
        return real(batch, *rest)

    monkeypatch.setattr(_table, "extract", dies)
    with Compute(0) as compute:
        with pytest.raises(KeyboardInterrupt):
            features.table(pictures, np.arange(600), hog, state={}, compute=compute, cache=tmp_path)
        monkeypatch.setattr(_table, "extract", lambda batch, *rest: done.append(len(batch)) or real(batch, *rest))
        rows = features.table(pictures, np.arange(600), hog, state={}, compute=compute, cache=tmp_path)
    assert sum(done) == 600, "the chunk that was done is not done again"
    np.testing.assert_array_equal(rows, real(pictures.take(np.arange(600)), hog, {}))


@pytest.mark.parametrize("change", ["pixels", "parameters", "version", "state"])
def test_another_content_is_another_table(pictures, stored_arrays, tmp_path, monkeypatch, change):
    arrays, feature, state = pictures, features.feature("intensity"), {"range": np.array([0, 1], np.float32)}
    with Compute(0) as compute:
        first = features.table(arrays, np.arange(20), feature, state=state, compute=compute, cache=tmp_path / "cache")
        if change == "pixels":
            pixels = arrays.take(np.arange(20)).copy()
            pixels[3, 0, 0, 0, 0] ^= 1
            arrays = stored_arrays(pixels)
        elif change == "parameters":
            feature = features.feature("intensity", {"bins": 8})
        elif change == "version":
            monkeypatch.setattr(feature.module, "VERSION", 1000)
        else:
            state = {"range": np.array([0, 0.5], np.float32)}
        features.table(arrays, np.arange(20), feature, state=state, compute=compute, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2
    assert first.shape[0] == 20


def test_a_vocabulary_is_learnt_once(pictures, tmp_path, monkeypatch):
    sift = features.feature("sift", {"side": 48, "words": 4, "components": 8})
    with Compute(0) as compute:
        first = features.fit(pictures, np.arange(20), sift, seed=1, compute=compute, cache=tmp_path)
        other = features.fit(pictures, np.arange(20), sift, seed=2, compute=compute, cache=tmp_path)
        monkeypatch.setattr(sift.module, "fit", _never)
        again = features.fit(pictures, np.arange(20), sift, seed=1, compute=compute, cache=tmp_path)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["centres"], other["centres"])


def _never(*args, **rest):
    raise AssertionError("computed again")


def test_a_worker_that_dies_is_told_and_no_half_table_is_left(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(_table, "_rows", _dies)
    with Compute(2, few=0) as compute, pytest.raises(InputError, match="lack of memory"):
        features.table(pictures, np.arange(40), features.feature("hog"), state={}, compute=compute, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


def _dies(job):
    os._exit(1)


def test_a_large_state_goes_to_workers_as_a_file(monkeypatch):
    state = {"network": np.arange(5000, dtype=np.uint8)}
    with Compute(2) as compute:
        with _table._handed(state, compute) as handed:
            assert handed is state
        monkeypatch.setattr(_table, "_LARGE", 1000)
        with _table._handed(state, compute) as handed:
            np.testing.assert_array_equal(_table._read(handed)["network"], state["network"])
            assert len(pickle.dumps(handed)) < 1000
        assert not handed.exists()
    with _table._handed(state, Compute(0)) as handed:
        assert handed is state


def test_workers_that_read_a_state_from_a_file_give_the_same(stored_arrays, monkeypatch):
    draw = np.random.default_rng(0)
    arrays = stored_arrays(draw.integers(0, 256, (60, 1, 1, 24, 24), dtype=np.uint8))
    feature = features.feature("sift", {"words": 3, "components": 4, "side": 0})
    state = features.fit(arrays, np.arange(60), feature, seed=0, compute=Compute(0))
    plain = features.table(arrays, np.arange(60), feature, state=state, compute=Compute(0))
    monkeypatch.setattr(_table, "_LARGE", 1)
    with Compute(1, few=0) as compute:
        np.testing.assert_array_equal(features.table(arrays, np.arange(60), feature, state=state, compute=compute), plain)
