"""A page of the worklist with 100,000 studies in the store: its time at the top and far down, and what memory it takes."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa

from bench.core import Row
from medloop import store as stores
from medloop.store import Store, proposals, studies
from medloop.store import tables as t
from medloop.store.records import now
from medloop.store.studies import Filter

STUDIES = 100_000
SMALL = 1_000
PAGES = 30
_LOT = 5_000


def rows() -> list[Row]:
    """Fills a store, then asks for pages as the worklist does: the studies, their proposals, and the number in each state."""
    with tempfile.TemporaryDirectory(prefix="medloop-bench-") as folder:
        few, _, _ = _measure(Path(folder) / "few", SMALL)
        many, far, grown = _measure(Path(folder) / "many", STUDIES)
        baseline = _by_offset(Path(folder) / "many")
    return [
        Row(
            what=f"worklist page, {STUDIES:,} studies, median of {PAGES} (worst order)",
            figure=many,
            unit="s",
            baseline=f"the same with {SMALL:,} studies",
            baseline_figure=few,
            ratio=few / many,
            seeds=[0],
            notes="promised: at most 0.3 s; studies, their proposals, counts of states",
        ),
        Row(
            what=f"worklist page after 80 % of {STUDIES:,} studies, median of {PAGES}",
            figure=far,
            unit="s",
            baseline="the same by OFFSET",
            baseline_figure=baseline,
            ratio=baseline / far,
            seeds=[0],
        ),
        Row(
            what=f"private memory added by {PAGES * 8} pages of {STUDIES:,} studies",
            figure=grown,
            unit="MB",
            seeds=[0],
            notes="promised: flat",
        ),
    ]


def _measure(root: Path, count: int) -> tuple[float, float, float]:
    """Median seconds of a first page in the worst order, of one far down, and megabytes added by all pages."""
    _fill(root, count)
    store = stores.open(root, f"sqlite:///{root / 'loop.sqlite'}")
    try:
        _page(store, "useful", None)
        before = _private_mb()
        worst = max(_median(lambda order=order: _page(store, order, None)) for order in studies.ORDERS)
        worst = max(worst, _median(lambda: _page(store, "useful", None, Filter(unread_by="ada", modality="CT"))))
        places = itertools.cycle(list(_places(store, int(count * 0.8))))
        far = _median(lambda: _page(store, "useful", next(places)))
        return worst, far, _private_mb() - before
    finally:
        store.close()


def _page(store: Store, order: str, after: str | None, which: Filter | None = None) -> str | None:
    page = studies.page(store, order, which, 50, after)
    proposals.latest(store, [row.id for row in page.rows])
    studies.counts(store)
    assert len(page.rows) == 50
    return page.after


def _places(store: Store, skip: int) -> Iterator[str]:
    """Where pages begin after so many studies."""
    after = None
    for _ in range(skip // 500):
        after = studies.page(store, "useful", None, 500, after).after
    for _ in range(min(PAGES, skip // 500)):
        yield str(after)
        after = studies.page(store, "useful", None, 50, after).after


def _median(function: Callable[[], Any], repeat: int = PAGES) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _by_offset(root: Path) -> float:
    """The same page, skipped to by counting rows."""
    store = stores.open(root, f"sqlite:///{root / 'loop.sqlite'}")
    order = (t.studies.c.priority.desc(), t.studies.c.id)
    wanted = (
        sa.select(*(column for column in t.studies.c if column.name != "refs"))
        .where(t.studies.c.state.in_(Filter().states))
        .order_by(*order)
        .limit(50)
    )
    wanted = wanted.offset(int(STUDIES * 0.8))

    def page() -> None:
        with store.read() as connection:
            numbers = [row.id for row in connection.execute(wanted)]
        proposals.latest(store, numbers)
        studies.counts(store)

    try:
        return _median(page, 3)
    finally:
        store.close()


def _fill(root: Path, count: int) -> None:
    """Studies of CT with a reference of 10 files each, nine of ten waiting, half with the same priority; a proposal each."""
    store = stores.open(root, f"sqlite:///{root / 'loop.sqlite'}")
    random = np.random.default_rng(0)
    priorities = np.where(random.random(count) < 0.5, 0.0, random.random(count)).tolist()
    states = random.choice(["proposed", "ready", "reading", "done"], count, p=[0.8, 0.08, 0.02, 0.1]).tolist()
    ref = {"name": "series", "reader": "dicom", "files": [f"blob:{'0' * 64}.dcm"] * 10, "facts": [["modality", "CT"]]}
    for start in range(0, count, _LOT):
        lot = range(start, min(start + _LOT, count))
        with store.write() as connection:  # rows only: the trail's price is not what is measured
            connection.execute(sa.insert(t.studies), [_study(i, states[i], priorities[i], ref) for i in lot])
            connection.execute(sa.insert(t.proposals), [_proposal(i, priorities[i]) for i in lot])
    store.run_alone("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def _study(i: int, state: str, priority: float, ref: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": i + 1,
        "name": f"study-{i}",
        "content": f"{i:064x}",
        "patient": f"P{i // 2}",
        "site": f"site-{i % 5}",
        "modality": "CT" if i % 3 else "MR",
        "arrived": now(),
        "state": state,
        "frozen": False,
        "blind": i % 10 == 0,
        "urgency": i % 3,
        "priority": priority,
        "why": "",
        "attributes": {"sex": "F"},
        "batch": "",
        "refs": [ref],
    }


def _proposal(i: int, priority: float) -> dict[str, Any]:
    return {
        "case_id": i + 1,
        "model_id": 1,
        "time": now(),
        "label": "normal",
        "confidence": 0.9,
        "probabilities": {"normal": 0.9, "tumour": 0.1},
        "decision": "person",
        "why": "",
        "standards": [],
        "summary": "",
        "findings": {},
        "nearest": [],
        "priority": priority,
        "unlikeness": 0.0,
    }


def _private_mb() -> float:
    memory = psutil.Process(os.getpid()).memory_full_info()
    return float(memory.uss) / 1e6
