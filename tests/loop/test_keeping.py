"""The verbs that keep, check and delete records: audit, backup, restore, forget."""

from __future__ import annotations

import json

import pytest

import medloop
from medloop import store as stores
from medloop.cli import main
from medloop.errors import InputError, Refused
from medloop.store import labels, models, studies
from medloop.store.records import LabelRow, ModelRow, StudyRow
from medloop.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with two patients and a model."""
    for name in ("MEDLOOP_DATABASE", "MEDLOOP_BLOBS"):
        monkeypatch.delenv(name, raising=False)
    root = Workspace(tmp_path / "w").ready().root
    opened = stores.open(root)
    for name in ("Doe", "Roe"):
        number, _ = studies.add(opened, StudyRow(name=name, content=name, patient=name, state="ready"), "ada")
        labels.append(opened, LabelRow(case_id=number, value="normal"), "ada")
    models.add(opened, ModelRow(name="first", path="models/first", family="classical"), "ada")
    opened.close()
    return root


def test_a_whole_trail_and_its_head(workspace, capsys):
    result = medloop.audit(workspace=workspace)
    assert result.entries == 5
    assert main(["audit", "verify", "--json", "--head", result.head, "--workspace", str(workspace)]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": 5, "head": result.head}


def test_a_cut_trail_is_exit_3(workspace, capsys):
    whole = medloop.audit(workspace=workspace).head
    (workspace / "loop.head").write_text("9 " + "0" * 64)
    assert main(["audit", "verify", "--workspace", str(workspace), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "broken-trail"
    assert "names entry 9, and the trail ends at 5" in error["got"]
    (workspace / "loop.head").write_text(whole.replace(":", " "))
    with pytest.raises(Refused, match="the head you gave"):
        medloop.audit(workspace=workspace, head=f"5:{'0' * 64}")


def test_backup_restore_and_forget_from_the_command_line(workspace, tmp_path, capsys):
    held, again = str(tmp_path / "held"), str(tmp_path / "again")
    assert main(["backup", held, "--workspace", str(workspace)]) == 0
    assert main(["restore", held, "--workspace", again]) == 0
    assert main(["restore", held, "--workspace", again]) == 3
    assert main(["forget", "Doe", "--reason", "asked", "--workspace", again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"studies": 1, "blobs": 0, "models": ["first"]}
    assert main(["audit", "verify", "--workspace", again]) == 0
    assert main(["forget", "--expired", "--workspace", again]) == 0
    assert (tmp_path / "held").stat().st_mode & 0o77 == 0
    assert (workspace / "loop.sqlite").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("words", [["audit"], ["backup", "x"], ["forget", "Doe", "--reason", "r"]])
def test_where_there_is_no_store_none_is_made(tmp_path, words, capsys):
    assert main([*words, "--workspace", str(tmp_path / "nowhere")]) == 2
    assert "There are no records" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"patient": "Doe", "reason": "r", "expired": True}])
def test_it_must_be_said_what_to_delete(workspace, options):
    with pytest.raises(InputError, match="not said what"):
        medloop.forget(workspace=workspace, **options)


def test_other_words_are_refused(workspace):
    with pytest.raises(InputError, match="Did you mean verify"):
        medloop.audit("verfy", workspace=workspace)
    with pytest.raises(InputError, match="no head"):
        medloop.audit(head="1", workspace=workspace)
