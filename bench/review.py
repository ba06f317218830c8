"""Review page in Chromium: from the key that confirms to the next case's image and proposal; the worklist with 100,000 studies."""

from __future__ import annotations

import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image as Pillow

from bench import worklist
from bench.core import Row, Skipped
from medloop import store
from medloop.compute.memory import PeakMemory
from medloop.loop.ingest import ingest
from medloop.requests import IngestRequest
from medloop.samples import phantom_ct
from medloop.store import Store, accounts, models, proposals, settings
from medloop.store.records import ModelRow, ProposalRow
from medloop.web.app import create
from medloop.web.security import SESSION
from medloop.workspace import Workspace

TIMES = 50
CLASSES = ["no tumour", "tumour"]
THINKS_S = 0.7
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
_WATCH = """(() => {
  const clock = () => performance.timeOrigin + performance.now();
  addEventListener("keydown", () => sessionStorage.setItem("pressed", clock()), true);
  new MutationObserver((changes, watch) => {
    if (!document.documentElement.dataset.shown) return;
    watch.disconnect();
    const pressed = Number(sessionStorage.getItem("pressed") ?? NaN);
    requestAnimationFrame(() => { document.documentElement.dataset.took = clock() - pressed; });
  }).observe(document, { subtree: true, attributeFilter: ["data-shown"] });
})();"""


def rows() -> Iterator[Row]:
    """Both kinds of image, then the worklist."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError as error:
        raise Skipped("needs playwright") from error
    if (chromium := shutil.which("chromium")) is None:
        raise Skipped("needs chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=_FLAGS)
        for what, promised, fill in (("2-D image", 0.5, _flat), ("CT series of the phantom", 1.5, _ct)):
            with _department(fill) as opened, _served(opened) as address:
                ahead = _nexts(browser, address, _token(opened), TIMES, fetch_ahead=True)
                behind = _nexts(browser, address, _token(opened), TIMES // 5, fetch_ahead=False)
            median, plain = statistics.median(ahead), statistics.median(behind)
            high = float(np.percentile(ahead, 95))
            yield Row(
                what=f"review page, from 'next' to image and proposal: {what}",
                figure=median,
                unit="s",
                baseline="not fetched ahead",
                baseline_figure=plain,
                ratio=plain / median,
                notes=f"median of {len(ahead)}; 95 % below {high:.2f} s; at most {promised} s promised",
            )
        browser.close()
    yield from _worklist()


@dataclass(frozen=True)
class _Fill:
    opened: Store
    model: int

    def take(self, folder: Path) -> None:
        """Ingest a folder and propose something for each study."""
        fresh = ingest(Workspace(self.opened.root), IngestRequest(src=str(folder), workers=2)).fresh
        proposals.append(self.opened, [_proposal(number, self.model) for number in fresh], "bench")


def _proposal(case: int, model: int) -> ProposalRow:
    return ProposalRow(
        case_id=case,
        model_id=model,
        label=CLASSES[case % 2],
        confidence=0.9,
        probabilities=dict(zip(CLASSES, (0.1, 0.9), strict=True)),
        why="Its confidence is below what the promised error rate needs.",
        summary="A sentence for the reader.",
        priority=0.5,
    )


def _flat(fill: _Fill, folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(TIMES + TIMES // 5 + 4):
        Pillow.fromarray(rng.integers(0, 255, (1024, 1024), dtype=np.uint8)).save(folder / f"{number:03}.png")
    fill.take(folder)


def _ct(fill: _Fill, folder: Path) -> None:
    phantom_ct.write(folder, patients=54)
    fill.take(folder / "images")


@contextmanager
def _department(fill: Any) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="medloop-bench-") as place:
        opened = store.open(Path(place) / "workspace")
        settings.put(opened, {"test_share": 0.0, "blind_share": 0.0, "target": {"kind": "binary", "classes": CLASSES}}, "bench")
        accounts.add(opened, "bench", "reader", "correct horse battery", "bench")
        model = models.add(opened, ModelRow(name="bench", path="models/bench", family="classical"), "bench")
        fill(_Fill(opened, model.id), Path(place) / "source")
        yield opened
        opened.close()


@contextmanager
def _served(opened: Store) -> Iterator[str]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(create(opened, Workspace(opened.root)), log_level="warning", lifespan="off", ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def _nexts(browser: Any, address: str, token: str, times: int, *, fetch_ahead: bool) -> list[float]:
    """Seconds from the key that confirms until the next case is painted, in the page's own clock; a moment of thought each."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    context.add_cookies([{"name": SESSION, "value": token, "url": address}])
    context.add_init_script(_WATCH)
    if not fetch_ahead:
        context.route("**/api/next*", lambda route: route.abort())
    page = context.new_page()
    page.goto("/next")
    took = []
    for _ in range(times):
        page.wait_for_selector("html[data-took]")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1000 * THINKS_S)
        with page.expect_navigation(wait_until="commit"):
            page.keyboard.press("Enter")
        page.wait_for_selector("html[data-took]")
        took.append(float(page.get_attribute("html", "data-took")) / 1000)
    context.close()
    return took


def _worklist() -> Iterator[Row]:
    """The list through the whole application: session, store, texts, template."""
    with tempfile.TemporaryDirectory(prefix="medloop-bench-") as place:
        worklist._fill(Path(place), worklist.STUDIES)
        opened = store.open(Path(place))
        accounts.add(opened, "bench", "reader", "correct horse battery", "bench")
        took = []
        with TestClient(create(opened, Workspace(opened.root)), base_url="http://localhost") as client:
            client.cookies.set(SESSION, _token(opened))
            client.get("/").raise_for_status()
            with PeakMemory() as memory:
                for order in ("useful", "urgency", "arrival", "newest") * 5:
                    start = time.perf_counter()
                    client.get("/", params={"order": order}).raise_for_status()
                    took.append(time.perf_counter() - start)
        opened.close()
    yield Row(
        what=f"worklist as a page, {worklist.STUDIES:,} studies in the store",
        figure=statistics.median(took),
        unit="s",
        notes=f"median of {len(took)}, slowest {max(took):.3f} s; at most 0.3 s promised; private memory {memory.peak_mb:.0f} MB",
    )


def _token(opened: Store) -> str:
    account = accounts.find(opened, "bench")
    if account is None:
        raise Skipped("the account is gone")
    return accounts.open_session(opened, account.id)
