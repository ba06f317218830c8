"""A budget too short for even the first rung is refused with what it would take; a dry run tells the rungs."""

from __future__ import annotations

from pathlib import Path

import pytest

import medloop
from medloop.errors import Refused
from medloop.families import classical


def test_a_budget_too_short_for_the_first_rung_is_refused(npz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classical, "least_seconds", lambda job: 500.0)
    with pytest.raises(Refused) as caught:
        medloop.learn(npz.src, workspace=tmp_path / "w", budget="60s")
    assert caught.value.code == "budget-too-short"
    assert "the quickest model takes 500 s more" in caught.value.got
    assert "--budget" in caught.value.fix
    assert int(caught.value.fix.split()[-1].rstrip("m.")) >= 17, "what it would take, and some air"
    assert not list((tmp_path / "w" / "runs").glob("*/run.json"))


def test_a_dry_run_tells_the_rungs_with_their_seconds(npz, tmp_path: Path) -> None:
    said = medloop.learn(npz.src, workspace=tmp_path / "w", budget="100s", dry_run=True)
    rungs = [step for step in said.steps if step["step"].startswith("rung")]
    assert [step["step"] for step in rungs] == ["rung 1: classical", "rung 2: transfer (frozen)", "rung 3: transfer (whole)"]
    assert all(step["seconds"] > 0 for step in rungs)
    assert sum(step["seconds"] for step in said.steps) == pytest.approx(said.seconds, abs=1)
