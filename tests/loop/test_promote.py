"""The gate over a store: who is promoted, who is kept out, and that the frozen test set stays what it is."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from medloop import families, store
from medloop.cli import main
from medloop.errors import InputError, Refused
from medloop.loop import _frozen
from medloop.loop import promote as verb
from medloop.loop.models import models as list_models
from medloop.loop.promote import promote
from medloop.loop.rollback import rollback
from medloop.requests import ModelsRequest, PromoteRequest, RollbackRequest
from medloop.store import Store, audit, labels, models, settings, studies
from medloop.store import tables as t
from medloop.store.records import PromotionRow
from medloop.workspace import Workspace
from tests.loop.gated import ACTOR, Gated, add_model, fill, learnt, pictures, studies_of


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    """A weak model (20 patients, their labels muddled) and a strong one (60 patients), and frozen studies of 40 others."""
    root = tmp_path_factory.mktemp("gated")
    workspace = Workspace(root / "w").ready()
    told = pictures(root / "learnt", 60, seed=1)
    few = pictures(root / "few", 20, seed=2)
    muddled = [(path, patient, "sick" if at // 4 % 2 else "well") for at, (path, patient, _) in enumerate(few)]
    learnt(workspace, muddled, "weak", root / "few.csv")
    learnt(workspace, told, "strong", root / "learnt.csv")
    frozen = pictures(root / "frozen", 40, seed=3)
    found = Gated(workspace, root, studies_of(workspace, frozen, frozen=True), [truth for _, _, truth in frozen])
    opened = found.open()
    fill(opened, found.rows, found.truth)
    opened.close()
    return found


def _workspace(gated: Gated, folder: Path) -> Workspace:
    """A fresh workspace with the same models."""
    workspace = Workspace(folder).ready()
    (workspace.root / "models").symlink_to(gated.workspace.root / "models")
    (workspace.root / "cache").rmdir()
    (workspace.root / "cache").symlink_to(gated.workspace.root / "cache")
    return workspace


@pytest.fixture
def home(gated: Gated, tmp_path: Path) -> Workspace:
    """A workspace whose store holds the frozen cases, labelled."""
    workspace = _workspace(gated, tmp_path / "w")
    for file in gated.workspace.root.iterdir():
        if file.is_file():
            shutil.copy(file, workspace.root / file.name)
    return workspace


@pytest.fixture
def bare(gated: Gated, tmp_path: Path) -> Workspace:
    """A workspace with an empty store."""
    return _workspace(gated, tmp_path / "bare")


@pytest.fixture
def opened(home: Workspace) -> Iterator[Store]:
    found = store.open(home.root)
    yield found
    found.close()


def asked(**words: object) -> PromoteRequest:
    """A request that works in this process."""
    return PromoteRequest(workers=0, **words)


def _champion(opened: Store, name: str = "weak") -> int:
    row = add_model(opened, name)
    models.decide(opened, PromotionRow(champion_id=None, challenger_id=row.id, decision="promoted", by=ACTOR), ACTOR)
    return row.id


def test_a_better_challenger_takes_the_place_and_the_page_says_why(home, opened, tmp_path):
    _champion(opened)
    challenger = add_model(opened, "strong")
    result = promote(home, asked(out=str(tmp_path / "page.html")))
    assert result.decision == "promoted"
    assert result.look == 1
    assert result.gain["low"] > 0
    assert (result.cases, result.patients) == (80, 40)
    assert models.champion(opened).id == challenger.id
    assert models.looked(opened, "draw-0") == 1
    page = (tmp_path / "page.html").read_text()
    assert "The challenger is promoted" in page
    assert "look 1 of 20" in page
    assert "site: north" in page
    assert 'src="data:image/png' in page
    assert audit.verify(opened) == []
    card = json.loads((home.root / "models/strong/card.json").read_text())
    assert any("frozen test set" in each["heading"] and "AUC" in each["text"] for each in card["card"])
    listed = list_models(home, ModelsRequest())
    assert listed.champion == "strong"
    assert {row["name"]: row["state"] for row in listed.models} == {"strong": "champion", "weak": "former"}


def test_a_worse_challenger_is_refused_and_force_needs_a_reason(home, opened, capsys):
    strong = _champion(opened, "strong")
    weak = add_model(opened, "weak")
    with pytest.raises(Refused) as caught:
        promote(home, asked())
    assert caught.value.exit_code == 3
    assert caught.value.code == "gate-refused"
    assert models.champion(opened).id == strong
    assert models.get(opened, weak.id).state == "refused"
    capsys.readouterr()
    assert main(["promote", "weak", "--workers", "0", "--json", "--workspace", str(home.root)]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "gate-refused"
    assert models.looked(opened, "draw-0") == 2
    with pytest.raises(InputError) as wrong:
        promote(home, asked(challenger="weak", force=True, reason=" "))
    assert wrong.value.code == "no-reason"
    forced = promote(home, asked(challenger="weak", force=True, reason="the camera was changed"))
    assert forced.forced
    assert models.champion(opened).id == weak.id
    last = models.decisions(opened)[0]
    assert (last.forced, last.by) == (True, "command line")
    assert "the camera was changed" in last.reason
    assert models.looked(opened, "draw-0") == 2


def test_rolling_back_restores_the_former_model_exactly(home, opened):
    weak = _champion(opened)
    before = {path.name: path.read_bytes() for path in (home.root / "models/weak/model").iterdir()}
    add_model(opened, "strong")
    promote(home, asked(force=True, reason="trial"))
    assert rollback(home, RollbackRequest(reason="too many false alarms")).name == "weak"
    assert models.champion(opened).id == weak
    assert {path.name: path.read_bytes() for path in (home.root / "models/weak/model").iterdir()} == before
    assert families.load(home.root / "models/weak/model").target.classes == ("sick", "well")
    assert models.decisions(opened)[0].decision == "rolled-back"
    with pytest.raises(InputError):
        rollback(home, RollbackRequest())
    assert rollback(home, RollbackRequest(to="strong")).champion == models.champion(opened).id


def test_the_first_model_proposes_and_one_like_guessing_does_not(home, opened):
    row = add_model(opened, "strong")
    result = promote(home, asked(auto=True))
    assert result.decision == "promoted"
    assert result.look is None
    assert models.champion(opened).id == row.id


def test_whose_own_report_shows_guessing_is_refused(home, opened):
    row = add_model(opened, "weak")
    models.set_card(opened, row.id, {"test": {"auc": {"value": 0.6, "low": 0.4, "high": 0.8}}}, ACTOR)
    assert promote(home, asked(auto=True)).decision == "refused"
    assert models.champion(opened) is None


def test_a_model_that_learnt_from_a_frozen_case_is_found_out(home, opened):
    """The guarantee is broken on purpose: a picture that the strong model learnt from lies in the frozen set."""
    _champion(opened)
    told = pictures(home.root / "again", 60, seed=1)
    stolen = [replace(row, frozen=True) for row in studies_of(home, told[:40], frozen=True)]
    fill(opened, stolen, [truth for _, _, truth in told[:40]])
    add_model(opened, "strong")
    with pytest.raises(Refused) as caught:
        promote(home, asked())
    assert caught.value.code == "leak"
    assert "has learnt from 30 cases of the frozen test set" in caught.value.got
    assert models.looked(opened, "draw-0") == 0


def test_a_copy_that_came_later_is_left_out_only(home, opened):
    _champion(opened)
    add_model(opened, "strong")
    told = pictures(home.root / "again", 60, seed=1)
    fill(opened, studies_of(home, told[:4], frozen=True), [truth for _, _, truth in told[:4]])
    result = promote(home, asked(auto=True))
    assert result.decision == "promoted"
    assert 1 <= result.left_out["its picture was learnt from under another name"] <= 4
    assert result.cases == 84 - sum(result.left_out.values())


def test_what_was_read_with_the_proposal_in_view_does_not_count(gated, bare):
    opened = store.open(bare.root)
    _champion(opened)
    fill(opened, gated.rows[:30], gated.truth[:30], provenance="human-after-ai")
    add_model(opened, "strong")
    result = promote(bare, asked(auto=True))
    assert result.decision == "needs-person"
    assert result.left_out == {"read with the proposal in view": 30}
    assert models.looked(opened, "draw-0") == 0
    opened.close()


def test_a_patient_on_both_sides_does_not_count(home, opened):
    _champion(opened)
    studies.draw(opened, 1, ACTOR, frozen=False)
    target = families.load(home.root / "models/strong/model").target
    found = _frozen.frozen_cases(opened, target)
    assert found.left_out == {"other studies of the patient may be learnt from": 1}
    assert len(found) == 78


def test_looks_are_counted_and_a_used_up_set_is_renewed(home, opened):
    strong = _champion(opened, "strong")
    settings.put(opened, {"looks_allowed": 1, "test_share": 0.5}, ACTOR)
    add_model(opened, "weak")
    assert promote(home, asked(auto=True)).look == 1
    used_up = promote(home, asked(challenger="weak", auto=True))
    assert used_up.decision == "needs-person"
    assert "draw a new one" in used_up.reasons[0]
    assert models.looked(opened, "draw-0") == 1
    unread = studies_of(home, pictures(home.root / "new", 40, seed=4), frozen=False)
    fresh = [studies.add(opened, replace(row, state="ready"), ACTOR)[0] for row in unread]
    renewed = promote(home, asked(challenger="weak", auto=True, renew=True))
    assert renewed.decision == "needs-person"
    assert renewed.reasons[0].startswith("A new test set was drawn, of ")
    assert renewed.look is None
    assert _frozen.test_set(opened) == "draw-1"
    rows = studies.many(opened, [*fresh, *range(1, 81)])
    drawn = {row.id for row in rows if row.frozen}
    assert drawn < set(fresh)
    assert drawn
    assert all(row.blind for row in rows if row.frozen)
    by_patient = {row.patient: row.frozen for row in rows}
    assert all(by_patient[row.patient] == row.frozen for row in rows)
    assert models.champion(opened).id == strong
    assert audit.verify(opened) == []


def test_two_promotions_at_once_leave_one_champion(home, opened):
    """Both judged against the same champion: one is first, the other is told to look again; the database allows no second one."""
    _champion(opened)
    rows = [add_model(opened, "strong"), models.add(opened, replace(add_model(opened, "x"), name="y", id=0), ACTOR)]
    champion, outcomes = models.champion(opened).id, []

    def race(number: int) -> None:
        row = PromotionRow(champion_id=champion, challenger_id=number, decision="promoted", by=ACTOR)
        try:
            outcomes.append(models.decide(opened, row, ACTOR).decision)
        except Refused as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=race, args=(row.id,)) for row in rows]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["champion-changed", "promoted"]
    assert sum(row.state == "champion" for row in models.every(opened)) == 1
    with pytest.raises(sa.exc.IntegrityError), opened.write() as connection:
        connection.execute(sa.update(t.models).values(state="champion"))


def test_where_the_department_wants_a_person_a_passed_gate_waits(home, opened):
    _champion(opened)
    settings.put(opened, {"auto_promote": False}, ACTOR)
    add_model(opened, "strong")
    result = promote(home, asked(auto=True))
    assert result.decision == "needs-person"
    assert "wants a person" in result.reasons[0]
    assert models.champion(opened).name == "weak"
    confirmed = promote(home, asked(by="dr x"))
    assert confirmed.decision == "promoted"
    assert "confirmed by dr x" in confirmed.reasons[0]
    assert (confirmed.forced, confirmed.look) == (False, None)
    assert models.looked(opened, "draw-0") == 1


def test_the_champion_itself_and_nobody_are_refused_plainly(home, opened):
    with pytest.raises(InputError) as nobody:
        promote(home, asked())
    assert nobody.value.code == "no-challenger"
    _champion(opened)
    with pytest.raises(InputError) as itself:
        promote(home, asked(challenger="weak"))
    assert itself.value.code == "is-champion"
    with pytest.raises(InputError) as misspelt:
        promote(home, asked(challenger="waek"))
    assert "weak" in misspelt.value.fix


def test_without_the_check_the_leak_would_pass(home, opened, monkeypatch):
    _champion(opened)
    told = pictures(home.root / "again", 60, seed=1)
    fill(opened, studies_of(home, told[:40], frozen=True), [truth for _, _, truth in told[:40]])
    add_model(opened, "strong")
    monkeypatch.setattr(verb._frozen, "unseen", lambda frozen, learnt: frozen)
    assert promote(home, asked(auto=True)).cases == 120


def test_a_label_of_a_model_alone_is_no_truth(gated, bare):
    opened = store.open(bare.root)
    fill(opened, gated.rows[:30], gated.truth[:30], provenance="ai-only")
    target = families.load(bare.root / "models/strong/model").target
    assert _frozen.frozen_cases(opened, target).left_out == {"not labelled yet": 30}
    assert labels.current(opened, truth=True) == {}
    opened.close()
