"""Pages and routes of operators: jobs, models, trail, accounts, settings, uploads; each for the roles that may."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image as Pillow

from medloop import store
from medloop.loop import _logs
from medloop.loop.serve import Logged
from medloop.store import Store, accounts, audit, jobs, models, settings, studies
from medloop.store.records import ModelRow, PromotionRow, StudyRow
from medloop.web import limits
from medloop.web.app import create
from medloop.workspace import Workspace
from tests.loop.read import read_twice

ROLES = ("reader", "adjudicator", "engineer", "admin")
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one account a role."""
    root = tmp_path_factory.mktemp("peopled") / "w"
    made = store.open(root)
    accounts.add(made, "root", "admin", PASSWORD, "setup")
    for role in ROLES[:-1]:
        accounts.add(made, role, role, PASSWORD, "root")
    made.close()
    return root


@pytest.fixture
def opened(peopled: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(peopled, tmp_path / "w")
    made = store.open(tmp_path / "w")
    yield made
    made.close()


@pytest.fixture
def as_(opened: Store) -> Callable[[str], TestClient]:
    """A client with a token of somebody of this role."""
    app = create(opened, Workspace(opened.root))

    def client(role: str) -> TestClient:
        who = next(each for each in accounts.every(opened) if each.role == role)
        token = accounts.add_token(opened, who.id, "test", who.name)
        return TestClient(app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=True)

    return client


def png(value: int = 0) -> bytes:
    rng = np.random.default_rng(value)
    file = io.BytesIO()
    Pillow.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "page", ["/jobs", "/jobs/rows", "/models", "/audit", "/audit?check=true", "/upload", "/account", "/monitor", "/agreement"]
)
def test_an_engineer_sees_every_page_of_operation(as_, page: str) -> None:
    answer = as_("engineer").get(page)
    assert answer.status_code == 200
    assert "html" in answer.headers["content-type"]


@pytest.mark.parametrize("page", ["/accounts", "/settings"])
def test_only_an_admin_sees_accounts_and_settings(as_, page: str) -> None:
    assert [as_(role).get(page).status_code for role in ROLES] == [403, 403, 403, 200]


@pytest.mark.parametrize(
    ("method", "path", "content", "least"),
    [
        ("GET", "/api/jobs", None, "engineer"),
        ("POST", "/api/jobs", {"kind": "propose"}, "engineer"),
        ("GET", "/api/audit", None, "engineer"),
        ("GET", "/api/agreement", None, "adjudicator"),
        ("GET", "/api/settings", None, "engineer"),
        ("POST", "/api/models/rollback", {}, "engineer"),
        ("PATCH", "/api/settings", {"readers": 2}, "admin"),
        ("GET", "/api/accounts", None, "admin"),
        ("POST", "/api/invitations", {"role": "reader"}, "admin"),
    ],
)
def test_roles_are_enforced(as_, method: str, path: str, content, least: str) -> None:
    for role in ROLES:
        answer = as_(role).request(method, path, json=content)
        allowed = ROLES.index(role) >= ROLES.index(least)
        assert (answer.status_code != 403) is allowed, (role, answer.text)
        if not allowed:
            assert answer.json()["error"]["code"] == "forbidden"


def test_the_page_of_agreement_shows_every_pair_with_its_interval(as_, opened: Store) -> None:
    client = as_("adjudicator")
    assert "Too few cases" in client.get("/agreement").text
    read_twice(opened, second=6)
    found, text = client.get("/api/agreement").json(), client.get("/agreement").text
    pair = found["readers"][0]
    assert f"{pair['kappa']:.2f}" in text
    assert f"({pair['low']:.2f} – {pair['high']:.2f})" in text
    assert "ann and ben" in text
    assert "may follow what they are shown" in text
    assert 'href="/agreement"' in client.get("/models").text
    assert 'href="/agreement"' not in as_("reader").get("/models").text
    assert "盲读" in client.get("/agreement", headers={"Accept-Language": "zh"}).text


def test_who_may_set_the_classes_is_led_there_from_a_case_without(as_, opened: Store) -> None:
    number, _ = studies.add(opened, StudyRow(name="a", content="a", state="ready"), "test")
    link, says = 'An admin sets them. <a href="/settings">', "The project has no classes yet."
    admin, reader = (as_(role).get(f"/review/{number}").text for role in ("admin", "reader"))
    assert link in admin
    assert says in reader
    assert link not in reader
    settings.put(opened, {"target": {"kind": "binary", "classes": ["well", "sick"]}}, "test")
    assert says not in as_("admin").get(f"/review/{number}").text


def test_nobody_gets_in_without_a_token(as_) -> None:
    client = as_("admin")
    client.headers.pop("Authorization")
    for path in ("/api/jobs", "/api/accounts", "/api/audit", "/api/settings", "/api/tokens", "/api/models"):
        assert client.get(path).status_code == 401
    assert client.get("/health").status_code in (200, 503)


def test_a_job_is_asked_for_seen_and_stopped(as_, opened: Store) -> None:
    client = as_("engineer")
    made = client.post("/api/jobs", json={"kind": "retrain", "request": {"budget": "1m"}})
    assert made.status_code == 201
    number = made.json()["id"]
    assert client.post("/api/jobs", json={"kind": "retrain", "request": {"budget": "1m"}}).json()["id"] == number
    assert f"/jobs/{number}" in client.get("/jobs/rows").text
    assert client.get(f"/jobs/{number}").status_code == 200
    assert client.post(f"/api/jobs/{number}/stop").json()["state"] == "stopped"
    assert jobs.get(opened, number).actor == "engineer"
    assert client.get("/api/jobs/99").status_code == 404
    assert [entry.actor for entry in audit.page(opened, subject=f"job:{number}")] == ["engineer", "engineer"]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"kind": "dream"}, 400),
        ({"kind": "retrain", "request": {"budgt": 1}}, 400),
        ({"kind": "retrain", "request": {"recipe": "/etc/passwd"}}, 403),
        ({"kind": "ingest", "request": {"src": "scans"}}, 403),
        ({"kind": "retrain", "request": {"database": "x"}}, 400),
        ({"kind": 3}, 422),
        ([], 422),
    ],
)
def test_jobs_that_make_no_sense_or_go_too_far_are_refused(as_, opened: Store, wanted, status: int) -> None:
    answer = as_("engineer").post("/api/jobs", json=wanted)
    assert (answer.status_code, set(answer.json()["error"])) == (status, {"code", "got", "allowed", "fix"})
    assert not jobs.every(opened)


def test_nobody_judges_in_another_name(as_, opened: Store) -> None:
    row = models.add(opened, ModelRow(name="one", path="models/one", family="classical"), "setup")
    answer = as_("engineer").post("/api/jobs", json={"kind": "judge", "request": {"challenger": "1", "by": "root"}})
    assert answer.json()["request"]["by"] == "engineer"
    forced = as_("engineer").post(f"/api/models/{row.id}/promote", json={"force": True})
    assert forced.json()["error"]["code"] == "no-reason"
    asked = as_("engineer").post(f"/api/models/{row.id}/promote", json={"force": True, "reason": "it must be"})
    assert asked.json()["request"] == {"challenger": "1", "by": "engineer", "reason": "it must be", "force": True}


def test_pages_of_a_model_and_a_decision_escape_what_people_wrote(as_, opened: Store) -> None:
    row = models.add(opened, ModelRow(name="<b>one</b>", path="models/one", family="classical"), "setup")
    why = "<script>alert(1)</script>"
    models.decide(opened, PromotionRow(champion_id=None, challenger_id=row.id, decision="needs-person", by="x", reason=why), "x")
    for page in ("/models/1", "/decisions/1", "/audit", "/jobs"):
        answer = as_("engineer").get(page)
        assert answer.status_code == 200, answer.text
        assert "<script>alert" not in answer.text
        assert "<b>one" not in answer.text
    assert as_("engineer").get("/decisions/7").status_code == 404


def test_accounts_are_invited_changed_and_let_out(as_, opened: Store) -> None:
    client = as_("admin")
    link = client.post("/api/invitations", json={"role": "adjudicator"}).json()["link"]
    assert accounts.link_role(opened, link.rsplit("/", 1)[1]) == "adjudicator"
    reader = accounts.find(opened, "reader")
    inside = as_("reader")
    assert inside.get("/api/tokens").status_code == 200
    assert client.post(f"/api/accounts/{reader.id}", json={"active": False}).json()["active"] is False
    assert inside.get("/api/tokens").status_code == 401
    root = accounts.find(opened, "root")
    assert client.post(f"/api/accounts/{root.id}", json={"role": "reader"}).status_code == 400


def test_tokens_are_made_shown_once_and_ended(as_, opened: Store) -> None:
    client = as_("reader")
    token = client.post("/api/tokens", json={"label": "script"}).json()["token"]
    listed = client.get("/api/tokens").json()
    assert token not in str(listed)
    other = TestClient(client.app, headers={"Authorization": f"Bearer {token}"})
    assert other.get("/api/models").status_code == 200
    number = next(each["id"] for each in listed if each["label"] == "script")
    assert as_("engineer").delete(f"/api/tokens/{number}").status_code == 204
    assert other.get("/api/models").status_code == 200
    assert client.delete(f"/api/tokens/{number}").status_code == 204
    assert other.get("/api/models").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"readers": 3}, {"readers": "two"}, {"error_rate": 2}, {"order": "random"}, {"auto_promote": "yes"}, {"target": 4},
        {"target": {"kind": "dream"}}, {"nothing": 1}, {"retrain_after": 1.5}, {"watch": 7}, {"blind_share": None, "readers": True},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_change_nothing(as_, opened: Store, wrong: dict) -> None:
    before = settings.every(opened)
    answer = as_("admin").patch("/api/settings", json={"looks_allowed": 7} | wrong)
    assert answer.status_code in (400, 422)
    assert settings.every(opened) == before


def test_settings_are_chosen_by_form_and_by_program(as_, opened: Store) -> None:
    client = as_("admin")
    target = {"kind": "binary", "classes": ["well", "sick"]}
    assert client.patch("/api/settings", json={"retrain_after": 9, "target": target}).json()["retrain_after"] == 9
    page = client.get("/settings")
    assert 'name="retrain_after" value="9"' in page.text
    sent = client.post("/settings", data={"retrain_after": "12", "recipe": "", "auto_promote": "false"}, follow_redirects=False)
    assert sent.status_code == 303
    found = settings.every(opened)
    assert (found["retrain_after"], found["recipe"], found["auto_promote"], found["target"]) == (12, None, False, target)


def test_uploads_become_studies_once(as_, opened: Store) -> None:
    client = as_("engineer")
    names = ["../../etc/a.png", "b.png", "no picture.txt"]
    sent = [("files", (names[0], png(1))), ("files", (names[1], png(2))), ("files", (names[2], b"hello"))]
    first = client.post("/api/studies", files=sent)
    assert first.status_code == 201, first.text
    assert len(first.json()["fresh"]) == 2
    assert [each["path"] for each in first.json()["rejected"]] == ["no picture.txt"]
    assert client.post("/api/studies", files=sent).json()["fresh"] == []
    assert sum(studies.counts(opened).values()) == 2
    assert client.post("/upload", files=sent).status_code == 200
    assert not list((opened.root / "uploads").iterdir())
    assert as_("reader").post("/api/studies", files=sent).status_code == 403
    assert client.post("/api/studies").status_code == 422


def test_what_is_too_large_is_refused(as_, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGEST_UPLOAD", 1000)
    monkeypatch.setattr(limits, "LARGEST", 500)
    client = as_("engineer")
    big = [("files", ("a.png", b"\0" * 5000))]
    assert client.post("/api/studies", files=big).json()["error"]["code"] == "too-large"

    def pieces() -> Iterator[bytes]:
        yield from [b"x" * 100] * 20

    answer = client.post("/api/jobs", content=pieces(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too-large")


def test_health_tells_of_a_missing_worker(as_) -> None:
    answer = as_("reader").get("/health")
    assert answer.status_code == 503
    signs = {each["what"]: each["well"] for each in answer.json()["signs"]}
    assert signs == {"database": True, "blobs": True, "worker": False, "disk": signs["disk"]}


def test_logs_hold_no_patient(opened: Store) -> None:
    """Names in addresses, searches, forms and errors stay out of the log."""
    stream = io.StringIO()
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        _logs.begin(stream)
        app = create(opened, Workspace(opened.root))

        @app.get("/api/break")
        def break_() -> None:
            raise RuntimeError("Zyxwv^7")

        who = accounts.find(opened, "root")
        token = accounts.add_token(opened, who.id, "test", who.name)
        client = TestClient(Logged(app), headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)
        client.get("/?text=Zyxwv^7")
        client.get("/api/cases/Zyxwv^7")
        client.get("/Zyxwv^7")
        client.post("/login", data={"name": "Zyxwv^7", "password": "x"})
        client.post("/api/studies", files=[("files", ("Zyxwv^7.png", png(3)))])
        assert client.get("/api/break").status_code == 500
        logging.getLogger("other").warning("file %s", "Zyxwv^7")
        try:
            raise ValueError("Zyxwv^7")
        except ValueError:
            logging.getLogger("other").exception("it broke")
    finally:
        logging.getLogger().handlers[:], logging.getLogger().level = kept
    said = stream.getvalue()
    assert said.count("\n") >= 8
    assert "/api/studies" in said
    assert "Zyxwv" not in said


@pytest.mark.parametrize("passed_on", ["/medloop", ""])
def test_the_log_names_routes_below_a_prefix_too(opened: Store, caplog: pytest.LogCaptureFixture, passed_on: str) -> None:
    client = TestClient(Logged(create(opened, Workspace(opened.root), prefix="/medloop")), raise_server_exceptions=False)
    with caplog.at_level(logging.INFO, "medloop.serve"):
        client.get(f"{passed_on}/api/cases/12")
        client.get(f"{passed_on}/health")
    assert [each.route for each in caplog.records if each.message == "request"] == ["/api/cases/{case}", "/health"]


def test_a_mapping_is_checked_before_it_is_kept(as_, opened: Store, tmp_path: Path) -> None:
    client = as_("admin")
    good = '[classes.tumour]\nicd10 = "D37.6"\n'
    for wrong, says in ((good.replace("D37.6", "D37.66"), "D37.6"), (str(tmp_path / "none.toml"), "cannot be read")):
        answer = client.patch("/api/settings", json={"mapping": wrong})
        assert answer.status_code == 400
        assert says in answer.text
        assert settings.get(opened, "mapping") is None
    assert client.patch("/api/settings", json={"mapping": good}).status_code == 200
    assert settings.get(opened, "mapping") == good
