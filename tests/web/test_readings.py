"""What readers say, over the same routes as the page uses: kept whole, refused whole, and never seen by whom it must not be."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from medloop.loop.findings import read_mask
from medloop.store import accounts, audit, drafts, labels, proposals, reviews, settings, studies
from medloop.web import shown
from medloop.web.app import create
from medloop.web.security import SESSION, csrf_of
from medloop.workspace import Workspace


@pytest.fixture
def people(department):
    """A function that gives a client for somebody, and the department."""
    made, opened = department
    app = create(opened, Workspace(opened.root))

    def client(name):
        secret = accounts.open_session(opened, accounts.find(opened, name).id)
        return TestClient(app, base_url="http://localhost", cookies={SESSION: secret}, headers={"X-CSRF-Token": csrf_of(secret)})

    client.store, client.department = opened, made
    return client


def test_two_who_confirm_the_same_case_leave_one_review(people):
    case = people.department.ct[0]
    ann, ben = people("ann"), people("ben")
    assert ann.post(f"/api/cases/{case}/reviews", json={"action": "accept"}).status_code == 201
    late = ben.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "no tumour"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "already-read")
    assert "ann" in late.json()["error"]["got"]
    assert [row.author for row in reviews.standing(people.store, [case])] == ["ann"]
    seen = ben.get(f"/api/cases/{case}").json()["seen"]
    again = {"action": "correct", "value": "no tumour", "seen": seen}
    assert ben.post(f"/api/cases/{case}/reviews", json=again).status_code == 201
    assert audit.verify(people.store) == []


def test_the_next_case_is_on_nobody_elses_desk(people):
    ann, ben = people("ann"), people("ben")
    mine = ann.get("/next", follow_redirects=False).headers["location"]
    ann.get(mine)
    assert ben.get("/next", follow_redirects=False).headers["location"] != mine
    assert ann.get("/next", follow_redirects=False).headers["location"] == mine


def test_where_nothing_is_left_the_list_says_so(people):
    ann = people("ann")
    for case in (*people.department.ct, *people.department.flat):
        answer = ann.post(f"/api/cases/{case}/reviews", json={"action": "accept"})
        assert answer.status_code == 201
    assert ann.get("/next", follow_redirects=False).headers["location"] == "/?done=1"
    assert ann.get("/api/next").json()["case"] is None
    assert ann.get("/?done=1&state=done").status_code == 200


@pytest.mark.parametrize("kind", ["blind", "frozen"])
def test_a_blind_case_tells_nothing_before_the_reader_has_spoken(people, kind):
    case = people.department.ct[1]
    studies.draw(people.store, case, "admin", **{kind: True})
    proposal = proposals.latest(people.store, [case])[case]
    ann = people("ann")
    told = [ann.get(path).text for path in (f"/review/{case}", f"/api/cases/{case}", "/api/next", "/api/cases")]
    secret = (proposal.findings["mask"]["blob"], proposal.summary, f"{100 * proposal.confidence:.0f} %")
    assert not [each for each in secret if any(each in text for text in told)]
    assert ann.post(f"/api/cases/{case}/reviews", json={"action": "accept"}).status_code == 400
    answer = ann.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "no tumour"}).json()
    assert answer["proposal"]["label"] == proposal.label
    assert labels.current(people.store, [case])[case, "classes"].provenance == "human"
    assert reviews.of_case(people.store, case)[-1].blind
    assert proposal.summary in ann.get(f"/review/{case}").text


def test_the_check_of_blindness_sees_a_page_that_tells(people, monkeypatch):
    case = people.department.ct[0]
    studies.draw(people.store, case, "admin", blind=True)
    monkeypatch.setattr(shown, "unaided", lambda *args: False)
    assert proposals.latest(people.store, [case])[case].summary in people("ann").get(f"/review/{case}").text


def test_the_second_of_two_readers_does_not_see_the_first(people):
    settings.put(people.store, {"readers": 2}, "admin")
    case = people.department.ct[0]
    ann, ben, cleo = people("ann"), people("ben"), people("cleo")
    ann.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "no tumour", "reason": "a scar"})
    assert studies.get(people.store, case).state == "reading"
    assert "a scar" not in ben.get(f"/review/{case}").text
    assert ben.get(f"/api/cases/{case}").json()["reviews"] == []
    assert f"/review/{case}" not in ann.get("/next", follow_redirects=False).headers["location"]
    ben.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "tumour"})
    assert studies.get(people.store, case).state == "adjudication"
    assert case in [each["id"] for each in cleo.get("/api/cases").json()["cases"]]
    assert case not in [each["id"] for each in ann.get("/api/cases").json()["cases"]]
    assert ann.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "tumour"}).status_code == 403
    seen = cleo.get(f"/api/cases/{case}").json()["seen"]
    cleo.post(f"/api/cases/{case}/reviews", json={"action": "correct", "value": "tumour", "seen": seen})
    assert studies.get(people.store, case).state == "done"


def test_an_outline_is_kept_as_it_was_drawn(people):
    case = people.department.ct[0]
    z, y, x = studies.get(people.store, case).refs[0].shape[2:]
    runs = [0, 5 * y * x + 7, 1, 3, 0, z * y * x - 5 * y * x - 10]
    answer = people("ann").post(
        f"/api/cases/{case}/reviews", json={"action": "correct", "value": "tumour", "mask": {"shape": [z, y, x], "runs": runs}}
    )
    assert answer.status_code == 201
    found = read_mask(people.store, labels.current(people.store, [case])[case, "masks"].value["blob"])
    assert found.shape == (z, y, x)
    assert found.sum() == 3
    assert found[5, 0, 7:10].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "said",
    [
        {"action": "correct", "value": "no such class"},
        {"action": "correct", "value": {"tumour": 1.0}},
        {"action": "correct", "value": 3.0},
        {"action": "correct"},
        {"action": "unsure", "reason": "  "},
        {"action": "reject"},
        {"action": "undo"},
        {"action": "accept", "surprise": 1},
        {"action": "accept", "seen": 10**30},
        {"action": "correct", "value": "tumour", "mask": {"shape": [1, 1, 1], "runs": [0, 1]}},
        {"action": "correct", "value": "tumour", "mask": {"shape": [41, 112, 112], "runs": [0, 2**31 - 1]}},
        {"action": "correct", "value": "tumour", "mask": {"shape": [41, 112, 112], "runs": [300, 41 * 112 * 112]}},
        {"action": "correct", "value": "tumour", "boxes": [{"z0": 0}]},
        {"action": "accept", "reason": "x" * 3000},
    ],
)
def test_what_makes_no_sense_is_refused_whole(people, said):
    case = people.department.ct[0]
    answer = people("ann").post(f"/api/cases/{case}/reviews", json=said)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["fix"]
    assert reviews.of_case(people.store, case) == []


@pytest.mark.parametrize(
    "path", ["/review/999", "/api/cases/0", "/api/cases/99999999999999999999", "/api/cases/x", "/api/cases/999/draft/x"]
)
def test_what_is_not_there_is_said_so(people, path):
    assert people("ann").get(path).status_code in (400, 404, 422)


def test_a_draft_is_of_one_reader_and_goes_with_the_review(people):
    case = people.department.ct[0]
    ann, ben = people("ann"), people("ben")
    assert ann.put(f"/api/cases/{case}/draft", json={"reason": "<b>perhaps</b>"}).status_code == 204
    assert ben.get(f"/api/cases/{case}/draft").json() == {}
    page = ann.get(f"/review/{case}").text
    assert "<b>perhaps" not in page
    assert "\\u003cb\\u003eperhaps" in page
    ann.post(f"/api/cases/{case}/reviews", json={"action": "accept"})
    assert drafts.get(people.store, case, accounts.find(people.store, "ann").id) is None


def test_a_page_of_an_older_proposal_does_not_accept_the_newer(people):
    case = people.department.ct[0]
    old = proposals.latest(people.store, [case])[case]
    proposals.append(people.store, [type(old)(case_id=case, model_id=1, label="no tumour", confidence=0.6)], "quick")
    answer = people("ann").post(f"/api/cases/{case}/reviews", json={"action": "accept", "value": old.label, "proposal": old.id})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "proposal-renewed")


def test_pixels_are_addressed_by_content_and_kept(people):
    ann = people("ann")
    case = people.department.ct[0]
    address = ann.get(f"/api/next?besides={people.department.ct[1]}").json()["images"][0]
    about = ann.get(address)
    assert "immutable" in about.headers["cache-control"]
    slab = ann.get(f"{address}/0/0/0")
    assert slab.headers["content-encoding"] == "gzip"
    depth = about.json()["shape"][2]
    assert len(slab.content) == 2 * min(depth, about.json()["slab"]) * about.json()["shape"][3] * about.json()["shape"][4]
    assert ann.get(f"{address}/0/0/0", headers={"If-None-Match": slab.headers["etag"]}).status_code == 304
    assert ann.get(f"/api/cases/{case}/images/0/{'0' * 32}").status_code == 404
    assert ann.get(f"{address}/0/0/99").status_code == 404
    assert ann.get(f"/api/cases/{case}/thumbnail").headers["content-type"] == "image/png"


def test_the_list_is_paged_without_gap_or_double(people):
    ann = people("ann")
    found, after = [], ""
    while True:
        part = ann.get("/api/cases", params={"limit": 2, "after": after}).json()
        found += [each["id"] for each in part["cases"]]
        if not (after := part["after"]):
            break
    assert sorted(found) == sorted((*people.department.ct, *people.department.flat))
    assert ann.get("/api/cases", params={"after": "nonsense"}).status_code == 400
    assert ann.get("/?order=nonsense").status_code == 400
    assert ann.get("/?state=nonsense").status_code == 400
    assert {each["modality"] for each in ann.get("/api/cases?modality=CT").json()["cases"]} == {"CT"}
