"""Twenty readers at once for two minutes, each confirming a case every second: lost or doubled reviews, errors, waiting time."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from bench._department import Department, furnish
from bench._server import serving, until
from bench.core import Row
from medloop import store
from medloop.store import audit, labels, reviews

READERS, SECONDS = 20, 120


@dataclass
class Heard:
    """What readers were told. ``waits``: seconds of a confirmation, and of the case that follows it."""

    confirmed: list[tuple[int, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)


def rows() -> Iterator[Row]:
    """Promised: no review lost or doubled, no errors, 95th percentile at most 0.5 s."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "w"
        department = furnish(root, READERS, int(READERS * SECONDS * 1.1), 40)
        with serving(root, "--workers", "0") as served:
            until(lambda: httpx.get(f"{served.url}/login").status_code == 200)
            heard = read(served.url, department, SECONDS)
        lost, doubled, problems = counted(root, heard)
    how = f"{READERS} readers, {SECONDS} s, {len(heard.confirmed)} confirmed; trail {'whole' if not problems else 'BROKEN'}"
    yield Row(what="reviews lost", figure=lost, unit="reviews", notes=how)
    yield Row(what="reviews doubled", figure=doubled, unit="reviews", notes=how)
    yield Row(what="errors", figure=len(heard.errors), unit="answers", notes="; ".join(sorted(set(heard.errors))[:3]))
    confirm, after = (float(np.percentile([wait[at] for wait in heard.waits], 95)) for at in (0, 1))
    yield Row(what="confirmation, 95th percentile", figure=confirm, unit="s", notes="promised: at most 0.5 s")
    yield Row(what="next case, 95th percentile", figure=after, unit="s")


def read(url: str, department: Department, seconds: float) -> Heard:
    """Let every reader read for so long."""
    heard = Heard()
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_reader, args=(url, token, department, end, heard, at / len(department.tokens)))
        for at, token in enumerate(department.tokens)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return heard


def counted(root: Path, heard: Heard) -> tuple[int, int, list[str]]:
    """How many confirmed reviews are lost or doubled in the store, and what is wrong with its trail."""
    opened = store.open(root)
    try:
        standing = reviews.standing(opened)
        kept = {(row.case_id, row.id) for row in standing}
        labelled = labels.current(opened, truth=True)
        lost = sum((case, review) not in kept or (case, "classes") not in labelled for case, review in heard.confirmed)
        doubled = sum(count - 1 for count in Counter(row.case_id for row in standing).values())
        return lost, doubled, audit.verify(opened)
    finally:
        opened.close()


def _reader(url: str, token: str, department: Department, end: float, heard: Heard, offset: float) -> None:
    """Look at the next case, confirm it, and so on, once a second."""
    time.sleep(offset)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        case = _next(client, heard, "/next")
        while case is not None and (begun := time.monotonic()) < end:
            said = {"action": "accept", "value": department.truth[case], "seconds": 1.0}
            answer = client.post(f"/api/cases/{case}/reviews", json=said)
            between = time.monotonic()
            told = answer.json()
            if answer.status_code == 201:
                heard.confirmed.append((case, told["review"]))
            else:
                heard.errors.append(f"{answer.status_code} {told['error']['code']}")
            case = _next(client, heard, told.get("next", "/next"))
            heard.waits.append((between - begun, time.monotonic() - between))
            time.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))


def _next(client: httpx.Client, heard: Heard, address: str) -> int | None:
    """The page of the next case, as the review page's script goes there after a confirmation; None where none is left."""
    answer = client.get(address, follow_redirects=True)
    if answer.status_code != 200:
        heard.errors.append(f"next {answer.status_code}")
    found = re.search(r"/review/(\d+)$", answer.url.path)
    return int(found[1]) if found and answer.status_code == 200 else None
