"""The model card of every version, written beside the model whenever something is decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medloop.loop._runs import read_run, run_target
from medloop.reporting.version_card import Facts, as_json, as_markdown
from medloop.store import Store, models
from medloop.store.records import ModelRow, PromotionRow
from medloop.types import Json, Metric
from medloop.workspace import Workspace, write_json, write_text

MARKDOWN, DATA = "card.md", "card.json"


def card_path(workspace: Workspace, row: ModelRow) -> Path:
    """Where the card of a model is, or will be."""
    return workspace.root / row.path / MARKDOWN


def write_card(workspace: Workspace, opened: Store, model_id: int) -> Path:
    """Write the card of a model as it is now, as Markdown and as JSON; returns the path of the Markdown. Raises `InputError`."""
    row = models.get(opened, model_id)
    facts = facts_of(workspace, opened, row)
    path = card_path(workspace, row)
    write_text(path, as_markdown(facts))
    write_json(path.with_name(DATA), as_json(facts))
    return path


def facts_of(workspace: Workspace, opened: Store, row: ModelRow) -> Facts:
    """Everything that is recorded of a model. Raises `InputError` where its run cannot be read."""
    run = read_run(workspace.root / row.path)
    decided = [each for each in reversed(models.decisions(opened)) if row.id in (each.challenger_id, each.champion_id)]
    names = {each.id: each.name for each in models.every(opened)}
    result = run.get("result") or {}
    return Facts(
        name=row.name,
        state=row.state,
        family=row.family,
        created=f"{row.created:%Y-%m-%d %H:%M} UTC",
        parent=None if row.parent is None else names.get(row.parent),
        target=run_target(run),
        dataset=row.dataset,
        labels=dict(row.card.get("labels") or {}),
        left_out=dict(row.card.get("left_out") or {}),
        figures=_figures(result.get("test") or {}),
        warnings=list(result.get("warnings") or []),
        evidence=judged_in(decided, row.id),
        history=[(f"{each.time:%Y-%m-%d %H:%M} UTC", _told(each, row.id, names)) for each in decided],
        versions=run.get("versions") or {},
    )


def judged_in(decided: list[PromotionRow], model_id: int) -> dict[str, Json]:
    """The newest comparison on the frozen test set that this model took part in, best as the challenger; empty: there is none."""
    whole = [each for each in decided if (each.evidence.get("verdict") or {}).get("gain")]
    own = [each for each in whole if each.challenger_id == model_id]
    return dict((own or whole)[-1].evidence) if whole else {}


def _figures(test: Mapping[str, Json]) -> dict[str, Metric]:
    return {name: Metric(each.get("value"), each.get("low"), each.get("high"), each.get("reason")) for name, each in test.items()}


def _told(row: PromotionRow, model_id: int, names: Mapping[int, str]) -> str:
    """A decision in words, from the side of one model."""
    if row.challenger_id == model_id:
        forced = " against or without the gate" if row.forced else ""
        return f"{row.decision} by {row.by}{forced}. {row.reason}".strip()
    other = names.get(row.challenger_id, "another model")
    if row.decision in ("promoted", "rolled-back"):
        return f"{other} took its place."
    return f"{other} was judged beside it: {row.decision}."
