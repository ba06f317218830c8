"""Every model version with its state and figures, the curve of figures against labels, and what more labels would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medloop.evaluation import forecast as forecasting
from medloop.evaluation.forecast import Point
from medloop.loop import _frozen, _records
from medloop.loop._card import card_path, judged_in
from medloop.progress import QUIET, Progress
from medloop.requests import ModelsRequest, ModelsResult
from medloop.store import labels, settings
from medloop.store import models as kept
from medloop.store.records import ModelRow, PromotionRow
from medloop.types import Json
from medloop.wire import to_json
from medloop.workspace import Workspace

MORE = 100
"""The forecast is for so many labels more."""
FROZEN, HELD_OUT = "the frozen test set", "cases held out from its training"
_Z = 1.96


def models(workspace: Workspace, request: ModelsRequest, tell: Progress = QUIET) -> ModelsResult:
    """List them, newest first."""
    del tell
    workspace.ready()
    with _records.opened(workspace, request.database, request.blobs) as opened:
        rows, decided, champion = kept.every(opened), kept.decisions(opened), kept.champion(opened)
        told = [_told(workspace, row, rows, decided) for row in rows]
        usable = len({case for case, _ in labels.current(opened, truth=True)})
        looks, allowed = kept.looked(opened, _frozen.test_set(opened)), int(settings.get(opened, "looks_allowed"))
    curve, metric = _curve(told)
    points = [Point(each["labels"], each["figure"], _error(each)) for each in curve]
    most = max((each["labels"] for each in curve), default=0)
    expected = forecasting.forecast(points, most + MORE)
    return ModelsResult(
        champion=None if champion is None else champion.name,
        models=told,
        metric=metric,
        curve=curve,
        forecast=None if expected is None else to_json(expected),
        labels=usable,
        looks=looks,
        looks_allowed=allowed,
        says=_says(told, curve, expected, metric),
    )


def _told(workspace: Workspace, row: ModelRow, rows: Sequence[ModelRow], decided: Sequence[PromotionRow]) -> dict[str, Json]:
    names = {each.id: each.name for each in rows}
    last = next((each for each in decided if each.challenger_id == row.id), None)
    card = card_path(workspace, row)
    metric, figure, judged = _figure(row, decided)
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "family": row.family,
        "created": f"{row.created:%Y-%m-%dT%H:%M:%SZ}",
        "labels": _labels(row),
        "parent": None if row.parent is None else names.get(row.parent),
        "metric": metric,
        "figure": figure,
        "judged": judged,
        "decision": None if last is None else last.decision,
        "reason": None if last is None else last.reason,
        "forced": last is not None and last.forced,
        "card": str(card) if card.is_file() else None,
    }


def _labels(row: ModelRow) -> int:
    """How many labels it learnt from."""
    return sum(int(each) for each in (row.card.get("labels") or {}).values())


def _figure(row: ModelRow, decided: Sequence[PromotionRow]) -> tuple[str, dict[str, Json] | None, str]:
    """Its main figure with the 95 % interval, and on what: its own report, or where that says nothing the frozen test set."""
    test: Mapping[str, Json] = row.card.get("test") or {}
    for name in ("auc", "r2", "dice", "map50"):
        if (test.get(name) or {}).get("value") is not None:
            return name, {key: test[name].get(key) for key in ("value", "low", "high")}, HELD_OUT
    evidence = judged_in([each for each in reversed(decided) if row.id in (each.challenger_id, each.champion_id)], row.id)
    if evidence:
        side = "challenger" if evidence["challenger"]["id"] == row.id else "champion"
        gain = evidence["verdict"]["gain"]
        return gain["metric"], {"value": gain[side], "low": None, "high": None}, FROZEN
    return "", None, ""


def _curve(told: Sequence[Mapping[str, Json]]) -> tuple[list[dict[str, Json]], str]:
    """Models judged by the same figure on cases held out from their training, fewest labels first."""
    usable = [each for each in told if each["figure"] and each["judged"] == HELD_OUT and each["labels"]]
    metric = str(usable[0]["metric"]) if usable else "auc"
    rows = [
        {
            "labels": each["labels"],
            "figure": each["figure"]["value"],
            "low": each["figure"]["low"],
            "high": each["figure"]["high"],
            "model": each["name"],
        }
        for each in usable
        if each["metric"] == metric
    ]
    return sorted(rows, key=lambda row: int(row["labels"])), metric


def _error(row: Mapping[str, Json]) -> float | None:
    return None if row["low"] is None or row["high"] is None else float(row["high"] - row["low"]) / (2 * _Z)


def _says(
    told: Sequence[Mapping[str, Json]], curve: Sequence[Mapping[str, Json]], expected: forecasting.Forecast | None, metric: str
) -> str:
    if not told:
        return "No model has been learnt yet."
    if expected is None:
        numbers = len({row["labels"] for row in curve})
        needed = f"A forecast needs figures at {forecasting.FEWEST} different numbers of labels; there are {numbers}."
        return f"{len(told)} {'model' if len(told) == 1 else 'models'}. {needed}"
    name = {"auc": "AUC", "r2": "R²", "dice": "Dice"}.get(metric, metric)
    return (
        f"With {MORE} labels more ({expected.labels} in all) expect an {name} of {expected.figure:.3f} "
        f"(95 %: {expected.low:.3f} to {expected.high:.3f}); ever more labels tend to {expected.best:.3f}."
    )
