"""Pages in a real browser: nothing fails, nothing is fetched, nothing sticks out."""

import pytest

NAMES = [
    "learn binary",
    "learn multi-class",
    "learn multi-label",
    "learn number",
    "learn with heat",
    "learn structured",
    "learn outlines",
    "evaluate",
    "inspect",
    "explain",
]


def problems(browser, path, width, scheme):
    """What a reader would run into on this page."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    found = [f"console: {text}" for text in said]
    found += [f"fetched: {url}" for url in asked if not url.startswith(("data:", path.as_uri()))]
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length")
    if broken:
        found.append(f"{broken} broken images")
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        found.append("scrolls sideways")
    small = page.evaluate("[...document.images].filter(i => Math.min(i.clientWidth, i.clientHeight) < 100).length")
    if small:
        found.append(f"{small} pictures too small to judge")
    ground, ink = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    if (ground == "rgb(255, 255, 255)") != (scheme == "light") or ground == ink:
        found.append(f"colours {ground} {ink} in a {scheme} scheme")
    page.close()
    return found


@pytest.mark.peer
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("name", NAMES)
def test_pages_open_without_trouble(chromium, pages, tmp_path, name, width, scheme):
    path = tmp_path / "page.html"
    path.write_text(pages[name], encoding="utf-8")
    assert problems(chromium, path, width, scheme) == []


@pytest.mark.peer
def test_troubles_are_noticed(chromium, pages, tmp_path):
    path = tmp_path / "page.html"
    bad = '<div style="width: 3000px">x</div><img alt="x" src="data:image/png;base64,AAAA"><img alt="y" src="https://example.org/y.png">'
    path.write_text(pages["inspect"].replace("</main>", bad + "</main>"), encoding="utf-8")
    found = " ".join(problems(chromium, path, 1280, "light"))
    for trouble in ("broken images", "scrolls sideways", "console"):
        assert trouble in found


@pytest.mark.peer
def test_the_first_screen_holds_the_answer(chromium, pages, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(pages["learn binary"], encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(path.as_uri())
    for selector in ("h1", ".verdict", ".tiles", ".notice.bad", ".notice.warn"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] <= 800
    page.close()
