"""What the documents say is true: the tutorial runs; every verb, flag, JSON key, recipe, step, feature and bench is described."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medloop import recipes, registry
from medloop import requests as r
from medloop.cli.flags import flags
from medloop.families import _wanted, ladder
from medloop.requests import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
RESULTS = {
    "demo": r.DemoResult,
    "sample": r.SampleResult,
    "inspect": r.InspectResult,
    "learn": r.LearnResult,
    "learn --dry-run": r.DryRunResult,
    "evaluate": r.EvaluateResult,
    "compare": r.CompareResult,
    "predict": r.PredictResult,
    "export": r.ExportResult,
    "ingest": r.IngestResult,
    "propose": r.ProposeResult,
    "retrain": r.RetrainResult,
    "worker": r.WorkerResult,
    "serve": r.ServeResult,
    "promote": r.PromoteResult,
    "rollback": r.RollbackResult,
    "models": r.ModelsResult,
    "monitor": r.MonitorResult,
    "audit": r.AuditResult,
    "backup": r.BackupResult,
    "restore": r.BackupResult,
    "forget": r.ForgetResult,
    "simulate": r.SimulateResult,
    "review": r.ReviewResult,
    "queue": r.QueueResult,
    "recheck": r.RecheckResult,
    "agreement": r.AgreementResult,
    "doctor": r.DoctorResult,
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def _text(path):
    return (DOCS / path).read_text(encoding="utf-8")


def _section(page, heading):
    """The part of a page under a heading of the second level."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found.get(heading)


def _missing_flags(page, verbs):
    """Verbs without a section, and flags that are not in the section of their verb (or in the part that holds for all verbs)."""
    everywhere = page.split("\n## ")[0]
    missing = []
    for verb, (_, kind) in verbs.items():
        section = _section(page, f"medloop {verb}")
        if section is None:
            missing.append(verb)
            continue
        missing += [f"{verb} {flag}" for flag, _, _ in flags(verb, kind) if f"| `{flag}` |" not in section + everywhere]
    return missing


def test_every_verb_and_flag_is_described():
    assert _missing_flags(_text("reference/commands.md"), VERBS) == []


def test_a_verb_or_flag_without_words_is_noticed():
    page = _text("reference/commands.md")
    assert _missing_flags(page.replace("| `--accept-leak` |", ""), VERBS) == ["learn --accept-leak", "simulate --accept-leak"]
    assert _missing_flags(page, VERBS | {"dream": ("Dream", r.DoctorRequest)}) == ["dream"]


def test_no_flag_is_described_that_does_not_exist():
    page = _text("reference/commands.md")
    for verb, (_, kind) in VERBS.items():
        told = set(re.findall(r"^\| `(--[a-z-]+)` \|", _section(page, f"medloop {verb}"), flags=re.MULTILINE))
        assert told <= {flag for flag, _, _ in flags(verb, kind)}, verb


@pytest.mark.parametrize("verb", RESULTS)
def test_every_key_of_the_json_is_described(verb):
    told = re.findall(r"^\| `(\w+)` \|", _section(_text("reference/json.md"), verb), flags=re.MULTILINE)
    assert told == [item.name for item in dataclasses.fields(RESULTS[verb])]


def test_every_recipe_step_feature_and_parameter_is_described():
    rows = re.findall(r"^\| (`[^|]+`) \|", _text("reference/recipes.md"), flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    ways = [registry.part("families", name).WANTED for name in ("_frozen", "_linear", "_tuning", "_joint_tuning")]
    parameters = {name for wanted in (_wanted.HEADS, ladder.WANTED, *ways) for name in wanted}
    there = {*recipes.names(), *registry.names("prep"), *registry.names("features"), *parameters}
    assert told - there == set()
    assert there - told <= {"from_digest"}


def test_the_recipe_in_the_reference_is_one():
    block = next(body for language, body in _BLOCK.findall(_text("reference/recipes.md")) if language == "toml")
    assert [step.name for step in recipes.from_toml(block).preparation] == ["orient", "resample", "normalise", "fit"]


def test_every_room_is_described():
    told = _text("reference/architecture.md")
    rooms = {
        path.stem for path in (ROOT / "src" / "medloop").iterdir() if not path.stem.startswith(("_", ".")) and path.stem != "py"
    }
    rooms -= {"version", "recipes_builtin"}
    assert [room for room in sorted(rooms) if f"`{room}`" not in told] == []


def test_every_promised_figure_names_a_bench_that_exists():
    rows = [line for line in _text("reference/figures.md").splitlines() if line.startswith("|")][2:]
    assert rows
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 6, row
        bench = re.fullmatch(r"`python -m bench (\w+)`", cells[1])
        assert bench is None or (ROOT / "bench" / f"{bench[1]}.py").is_file(), cells[1]
        assert bench is not None or cells[1].startswith("`medloop "), cells[1]
        assert cells[2], row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_pages_have_verbs_and_flags_that_exist(page):
    known = {verb: {flag for flag, _, _ in flags(verb, kind)} for verb, (_, kind) in VERBS.items()}
    text = page.read_text(encoding="utf-8")
    calls = [line for _, body in _BLOCK.findall(text) for line in body.splitlines() if line.startswith("medloop ")]
    calls += re.findall(r"`(medloop [^`\n]+)`", text)
    for call in calls:
        words = call.split()
        if words[1] in ("VERB", "--help"):
            continue
        assert words[1] in known, call
        used = {word for word in words if word.startswith("--")}
        assert used <= known[words[1]] | {"--help"}, call


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    """Every block of the tutorial, in order, as a reader would type it."""
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    blocks = _BLOCK.findall(_text("tutorials/first-model.md"))
    assert {language for language, _ in blocks} == {"shell", "python"}
    for language, body in blocks:
        command = ["bash", "-euo", "pipefail", "-c", body] if language == "shell" else [sys.executable, "-c", body]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
    for written in (
        "intake/report.html",
        "first/report.html",
        "judged/report.html",
        "predictions.csv",
        "again.csv",
        "second/run.json",
    ):
        assert (tmp_path / written).stat().st_size > 100, written
