"""What is said of studies, proposals and readings."""

from __future__ import annotations

from typing import Any

from medloop import requests as r
from medloop.cli.text._words import as_text, reasons, some


@as_text.register
def _(result: r.IngestResult) -> str:
    lines = [f"{len(result.fresh)} new studies, {result.known} known already, {result.labels} labels, from {result.files} files."]
    lines += [f"{result.replaced} studies gave way to more complete ones."] if result.replaced else []
    lines += [f"{result.waiting} studies wait for more of their files."] if result.waiting else []
    return "\n".join([*lines, *reasons(result.rejected), *(f"Note: {each}" for each in result.warnings)])


@as_text.register
def _(result: r.ProposeResult) -> str:
    lines = [
        f"{result.cases} proposals by {result.model}: {result.accept} may be pre-filled, {result.person} need a person, "
        f"{result.unlike} are too unlike what it learnt from.",
        *(f"  {label}: {count}" for label, count in result.labels.items()),
        *(f"Note: {each}" for each in result.warnings),
    ]
    promise = result.promise
    if promise["threshold"] is not None and not result.warnings:
        share, sure = f"{100 * promise['rate']:.3g} %", f"{100 * promise['confidence']:.3g} %"
        lines.append(f"At most {share} of the pre-filled labels are wrong, with {sure} confidence. {promise['why']}")
    return "\n".join(lines)


@as_text.register
def _(result: r.QueueResult) -> str:
    waiting = ", ".join(f"{count} {state}" for state, count in result.waiting.items() if count)
    lines = [f"Waiting: {waiting or 'nothing'}. By {result.order}:"]
    lines += [f"  case {each['case_id']:<6} {each['state']:12} {_proposal(each)}" for each in result.cases]
    return "\n".join([*lines, *([f"More: --after {result.after}"] if result.after else [])])


@as_text.register
def _(result: r.ReviewResult) -> str:
    lines = [f"Case {result.case} ({result.name}): {result.state}."]
    if result.proposal is not None:
        lines.append(f"  proposed: {_proposal({**result.proposal, 'blind': False})}")
    if result.label is not None:
        lines.append(f"  label: {result.label['value']} ({result.label['provenance']}, {result.label['author']})")
    for each in result.reviews:
        said = "" if each["value"] is None else f" {each['value']}"
        lines.append(f"  {each['author']}: {each['action']}{said}{'; ' + each['reason'] if each['reason'] else ''}")
    return "\n".join(lines)


@as_text.register
def _(result: r.RecheckResult) -> str:
    lines = [f"{result.labels} labels: {result.suspected} are probably wrong; {result.asked} second looks asked for."]
    return "\n".join(
        [*lines, *some("labels to look at again", [f"case {each['case_id']}: {each['why']}" for each in result.cases])]
    )


@as_text.register
def _(result: r.AgreementResult) -> str:
    rows = [(f"{each['a']} and {each['b']}", each) for each in result.readers]
    rows += [("all readers", result.all), ("with the model, shown", result.shown), ("with the model, blind", result.blind)]
    lines = []
    for name, row in rows:
        between = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
        told = row["reason"] if row["kappa"] is None else f"kappa {row['kappa']:.2f}{between}"
        lines.append(f"{name}: {told}, {row['cases']} cases")
    return "\n".join([*lines, *map(_drawn, result.drawn), result.says])


def _drawn(row: dict[str, Any]) -> str:
    """How far what two readers drew covers each other, in all and by class."""
    name = {"dice": "Dice", "iou": "IoU"}[row["figure"]]
    between = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
    told = row["reason"] if row["value"] is None else f"{name} {row['value']:.2f}{between}"
    each = "".join(f", {one['class']} {one['value']:.2f}" for one in row["classes"] if one["value"] is not None)
    return f"{row['a']} and {row['b']}, {row['target']}: {told}{each}, {row['cases']} cases"


def _proposal(row: dict[str, Any]) -> str:
    """What is proposed of a case of the worklist, and why it is there."""
    if row["blind"]:
        said = "read blind"
    elif row["label"]:
        said = row["label"] if row["confidence"] is None else f"{row['label']} {100 * row['confidence']:.0f} %"
    else:
        said = "nothing proposed"
    return "; ".join(filter(None, (said, row["why"])))
