"""The reader's story in a real browser: log in, read, confirm, correct, draw, be unsure, undo, go on; nothing is lost."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from medloop.loop.findings import read_mask
from medloop.store import audit, drafts, labels, proposals, reviews, studies
from medloop.store.records import ProposalRow, ReviewRow
from tests.web.department import CLASSES, HOSTILE

pytestmark = pytest.mark.peer
SHOWN = "html[data-shown]"


def opened(page, case):
    page.goto(f"/review/{case}")
    page.wait_for_selector(f"html[data-shown='{case}']")


def shown_case(page):
    page.wait_for_selector(SHOWN)
    return int(re.search(r"/review/(\d+)", page.url).group(1))


def committed(page, act):
    """Do something that commits, and wait for the page that follows."""
    posted = page.expect_response(lambda answer: "/reviews" in answer.url and answer.request.method == "POST")
    with page.expect_navigation(), posted as answer:
        act()
    assert answer.value.status == 201
    page.wait_for_selector("html[data-shown], h1 .tag")


def grey(page, where="#pane-now"):
    """Mean brightness of the picture on the screen."""
    return page.evaluate(
        """(where) => {
            const canvas = document.querySelector(`${where} canvas`);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let sum = 0;
            for (let i = 0; i < data.length; i += 40) sum += data[i];
            return sum / (data.length / 40);
        }""",
        where,
    )


def drag(page, start, end, steps=6):
    frame = page.locator("#pane-now canvas").bounding_box()
    at = [(frame["x"] + frame["width"] * x, frame["y"] + frame["height"] * y) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=steps)
    page.mouse.up()


def test_a_reader_confirms_corrects_and_undoes_without_a_mouse(visit, served, picture):
    page = visit(by_form=True)
    picture(page, "worklist")
    listed = page.locator("td.name a").all_inner_texts()
    assert listed[0] == studies.get(served.store, studies.page(served.store).rows[0].id).name, "the most useful is first"
    page.keyboard.press("n")
    first = shown_case(page)
    proposal = proposals.latest(served.store, [first])[first]
    assert page.locator(".proposal .label strong").inner_text() == proposal.label
    assert page.locator(".proposal .label span").inner_text() == f"{100 * proposal.confidence:.0f} %"
    assert grey(page) > 3
    picture(page, "review")
    committed(page, lambda: page.keyboard.press("Enter"))
    assert labels.current(served.store, [first])[first, "classes"].value == proposal.label
    assert labels.current(served.store, [first])[first, "classes"].provenance == "human-after-ai"
    second = shown_case(page)
    assert second != first
    assert page.locator("#toast").inner_text().startswith(studies.get(served.store, first).name)
    other = next(name for name in CLASSES if name != proposals.latest(served.store, [second])[second].label)
    committed(page, lambda: page.keyboard.press(str(CLASSES.index(other) + 1)))
    last = reviews.last_of(served.store, "ann")
    assert (last.case_id, last.action, last.value) == (second, "correct", other)
    assert last.seconds > 0
    third = shown_case(page)
    page.keyboard.press("z")
    page.wait_for_url(f"**/review/{second}")
    assert reviews.standing(served.store, [second]) == []
    assert studies.get(served.store, second).state == "proposed"
    page.wait_for_selector(SHOWN)
    page.keyboard.press("n")
    page.wait_for_url(lambda url: f"/review/{second}" not in url and "besides" not in url)
    assert shown_case(page) == third
    assert audit.verify(served.store) == []


def test_the_picture_answers_keys_wheel_and_drags(visit, served):
    page = visit()
    case = served.department.ct[0]
    opened(page, case)
    pane = page.locator("#pane-now")
    depth = studies.get(served.store, case).refs[0].shape[2]
    mask = read_mask(served.store, proposals.latest(served.store, [case])[case].findings["mask"]["blob"])
    assert int(pane.get_attribute("data-slice")) == int(mask.reshape(len(mask), -1).astype(bool).sum(1).argmax()), (
        "opens where it matters"
    )
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#pane-now[data-slice='1']")
    page.keyboard.press("End")
    page.wait_for_selector(f"#pane-now[data-slice='{depth - 1}']")
    page.locator("#pane-now canvas").hover()
    page.mouse.wheel(0, -100)
    page.wait_for_selector(f"#pane-now[data-slice='{depth - 2}']")
    window, zoom = (page.locator(f"#pane-now [data-corner={name}]") for name in ("window", "zoom"))
    before = window.inner_text()
    drag(page, (0.5, 0.5), (0.7, 0.5))
    expect(window).not_to_have_text(before)
    page.keyboard.press("+")
    expect(zoom).to_have_text("125 %")
    wider = window.inner_text()
    opened(page, served.department.ct[1])
    expect(window).to_have_text(wider)  # kept from case to case
    expect(zoom).to_have_text("125 %")
    page.keyboard.press("r")
    expect(zoom).to_have_text("100 %")


def test_a_line_is_measured_in_millimetres(visit, served):
    page = visit()
    case = served.department.ct[0]
    opened(page, case)
    page.keyboard.press("m")
    with page.expect_request(lambda asked: asked.url.endswith("/draft") and asked.method == "PUT") as asked:
        drag(page, (0.4, 0.5), (0.6, 0.5))
    (line,) = asked.value.post_data_json["lines"]
    width = studies.get(served.store, case).refs[0].spacing_mm[2] * abs(line["x1"] - line["x0"])
    frame = page.locator("#pane-now canvas").bounding_box()
    shape, spacing = studies.get(served.store, case).refs[0].shape, studies.get(served.store, case).refs[0].spacing_mm
    fit = min(frame["width"] / (shape[4] * spacing[2]), frame["height"] / (shape[3] * spacing[1]))
    assert width == pytest.approx(0.2 * frame["width"] / fit, rel=0.02)


def test_an_outline_is_redrawn_and_becomes_a_label(visit, served, picture):
    page = visit()
    case = served.department.ct[0]
    before = read_mask(served.store, proposals.latest(served.store, [case])[case].findings["mask"]["blob"])
    opened(page, case)
    page.keyboard.press("b")
    for _ in range(3):
        page.keyboard.press("]")
    drag(page, (0.5, 0.5), (0.55, 0.5))
    picture(page, "outline")
    drag(page, (0.6, 0.6), (0.65, 0.6))
    page.keyboard.press("Control+z")
    page.wait_for_timeout(50)
    committed(page, lambda: page.keyboard.press("Enter"))
    found = labels.current(served.store, [case])
    assert found[case, "masks"].value["classes"] == ["tumour"]
    after = read_mask(served.store, found[case, "masks"].value["blob"])
    assert after.shape == before.shape
    changed = np.argwhere(after != before)
    assert len(np.unique(changed[:, 0])) == 1, "one slice was drawn on"
    assert 20 < len(changed) < 600
    y, x = changed[:, 1].mean() / before.shape[1], changed[:, 2].mean() / before.shape[2]
    assert abs(y - 0.5) < 0.1
    assert abs(x - 0.5) < 0.2
    assert reviews.last_of(served.store, "ann").action == "correct"


def test_a_box_is_drawn_and_moved(visit, served):
    page = visit()
    case = served.department.flat[0]
    opened(page, case)
    page.keyboard.press("x")
    drag(page, (0.4, 0.4), (0.5, 0.5))
    drag(page, (0.45, 0.45), (0.55, 0.55))
    committed(page, lambda: page.keyboard.press("Enter"))
    (box,) = labels.current(served.store, [case])[case, "boxes"].value["boxes"]
    shape = studies.get(served.store, case).refs[0].shape
    assert box["z0"] == 0
    assert box["z1"] == 1
    assert (box["y0"] + box["y1"]) / 2 / shape[3] == pytest.approx(0.55, abs=0.02)
    assert box["class"] == 0


def test_unsure_needs_a_reason_and_wrong_patient_is_one(visit, served):
    page = visit()
    case, other = served.department.ct[:2]
    opened(page, case)
    page.keyboard.press("u")
    page.keyboard.press("Enter")
    assert page.locator("dialog .problem").is_visible()
    page.keyboard.type("motion; see <b>slice 12</b>")
    committed(page, lambda: page.keyboard.press("Control+Enter"))
    assert reviews.last_of(served.store, "ann").reason == "motion; see <b>slice 12</b>"
    assert studies.get(served.store, case).state == "adjudication"
    opened(page, other)
    page.keyboard.press("u")
    page.keyboard.press("2")
    committed(page, lambda: page.keyboard.press("Enter"))
    last = reviews.last_of(served.store, "ann")
    assert (last.action, last.reason) == ("reject", "wrong-patient")
    assert studies.get(served.store, other).state == "rejected"


def test_a_blind_case_hides_the_proposal_until_the_reader_has_spoken(visit, served, picture):
    case = served.department.ct[0]
    studies.draw(served.store, case, "admin", blind=True)
    proposal = proposals.latest(served.store, [case])[case]
    page = visit()
    assert proposal.label not in page.locator(f"tr:has(a[href*='/review/{case}'])").inner_text().replace("no tumour", "")
    opened(page, case)
    source = page.content()
    assert proposal.findings["mask"]["blob"] not in source
    assert "data-tool" in source
    assert page.locator(".proposal").count() == 0
    assert page.request.get(f"/api/proposals/{proposal.id}/heat").status == 409
    assert "proposal" not in {key for key, value in page.request.get(f"/api/cases/{case}").json().items() if value}
    page.keyboard.press("Enter")
    assert reviews.of_case(served.store, case) == [], "there is nothing to confirm yet"
    picture(page, "blind")
    committed(page, lambda: page.keyboard.press("1"))
    assert "90 %" in page.locator("#toast").inner_text() or proposal.label in page.locator("#toast").inner_text()
    assert labels.current(served.store, [case])[case, "classes"].provenance == "human"


def test_the_prior_study_stands_beside_the_current_one(visit, served, picture):
    page = visit()
    later = served.department.ct[4]
    opened(page, later)
    assert page.locator("#pane-prior").is_hidden()
    page.keyboard.press("v")
    page.wait_for_selector("#pane-prior[data-painted]")
    picture(page, "prior")
    assert grey(page, "#pane-prior") > 3
    page.keyboard.press("Home")
    page.wait_for_selector("#pane-prior[data-slice='0']")
    opened(page, later)
    page.wait_for_selector("#pane-prior:not([hidden])[data-painted]")


def test_two_readers_confirm_the_same_study_and_the_second_loses_nothing(visit, served, picture):
    ann, ben = visit("ann"), visit("ben")
    case = served.department.ct[0]
    opened(ann, case)
    opened(ben, case)
    ben.keyboard.press("m")
    drag(ben, (0.3, 0.3), (0.4, 0.4))
    committed(ann, lambda: ann.keyboard.press("Enter"))
    with ben.expect_navigation():
        ben.keyboard.press("2")
    ben.wait_for_selector("#already")
    assert "ann" in ben.locator("#already").inner_text()
    picture(ben, "already-read")
    assert [row.author for row in reviews.standing(served.store, [case])] == ["ann"]
    assert drafts.get(served.store, case, next(a.id for a in _accounts(served) if a.name == "ben"))["lines"]
    ben.locator("[data-do=again]").click()
    assert ben.locator("[data-class][aria-pressed=true]").inner_text().split("\n")[-2:][0] != ""
    ben.go_back()
    ben.go_forward()


def test_a_correction_survives_the_end_of_the_session(visit, served):
    page = visit()
    case = served.department.ct[0]
    opened(page, case)
    page.keyboard.press("b")
    drag(page, (0.5, 0.5), (0.6, 0.5))
    page.context.clear_cookies()
    page.keyboard.press("2")
    page.wait_for_url("**/login?**")
    assert page.locator(".note").is_visible()
    page.fill("input[name=name]", "ann")
    page.fill("input[name=password]", served.department.password)
    page.click("form.stacked button.main")
    page.wait_for_url(f"**/review/{case}")
    page.wait_for_selector(SHOWN)
    assert page.locator("[data-class][aria-pressed=true] .what").inner_text() == CLASSES[1]
    committed(page, lambda: page.keyboard.press("Enter"))
    assert (case, "masks") in labels.current(served.store, [case])


def test_text_of_others_does_nothing_on_the_pages(visit, served):
    case = served.department.flat[0]
    hostile = ProposalRow(
        case_id=case, model_id=1, label=HOSTILE, confidence=0.7, probabilities={HOSTILE: 0.7}, why=HOSTILE, summary=HOSTILE,
        standards=[{"standard": HOSTILE, "code": HOSTILE, "name": HOSTILE}],
        findings={
            "measures": [{"name": HOSTILE, "value": 1.0, "unit": HOSTILE}],
            "violations": [{"rule": HOSTILE, "value": HOSTILE, "allowed": HOSTILE}],
        },
        priority=99.0,
    )  # fmt: skip
    proposals.append(served.store, [hostile], "quick")
    reviews.commit(served.store, ReviewRow(case_id=case, author="ben", action="unsure", reason=HOSTILE))
    page = visit("cleo")
    said = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto("/?text=" + HOSTILE.replace("#", "%23").replace("&", "%26"))
    page.goto("/")
    opened(page, case)
    assert page.locator(".summary").inner_text() == HOSTILE
    assert page.locator("img[src='x']").count() == 0
    page.keyboard.press("u")
    page.fill("#reason", HOSTILE)
    committed(page, lambda: page.locator("dialog button[value=send]").click())
    assert reviews.last_of(served.store, "cleo").reason == HOSTILE
    assert not said
    assert studies.count(served.store) > 0


def test_pages_fit_the_screen_in_both_languages_and_lights(visit, served, picture):
    for width, height, language, scheme in (
        (1280, 800, "en-US", "light"),
        (820, 1180, "zh-CN", "dark"),
        (1080, 810, "en-US", "dark"),
    ):
        page = visit(width=width, height=height, locale=language, color_scheme=scheme)
        for name, address in (("list", "/"), ("case", f"/review/{served.department.ct[0]}")):
            page.goto(address)
            if name == "case":
                page.wait_for_selector(SHOWN)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
            assert faint(page) == []
            picture(page, f"{name}-{width}-{scheme}-{language}")


def faint(page):
    """Texts whose contrast is below WCAG AA."""
    return page.evaluate(CONTRAST)


CONTRAST = """() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest("button:disabled, .pane, .unseen, .skip, option, script")) continue;
    const words = [...element.childNodes].filter((each) => each.nodeType === 3 && each.textContent.trim());
    if (!words.length) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(ground(element))].sort((x, y) => y - x);
    const big = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (big ? 3 : 4.5)) found.push(`${words[0].textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def test_the_measure_of_contrast_sees_faint_text(visit):
    page = visit()
    page.evaluate("document.querySelector('h1').setAttribute('id', 'faint')")
    page.evaluate("document.adoptedStyleSheets.push(Object.assign(new CSSStyleSheet(), {}))")
    page.evaluate("document.adoptedStyleSheets.at(-1).replaceSync('#faint { color: #bbb; }')")
    assert any("Worklist" in each for each in faint(page))


def _accounts(served):
    from medloop.store import accounts

    return accounts.every(served.store)
