"""What is said of model versions and of drift."""

from __future__ import annotations

from medloop import requests as r
from medloop.cli.text._words import as_text, number


@as_text.register
def _(result: r.RetrainResult) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in result.labels.items())
    lines = [f"Challenger {result.challenger} ({result.name}) learnt from {labels} labels."]
    lines += [f"  not learnt from: {count} {reason}" for reason, count in result.left_out.items() if count]
    return "\n".join([*lines, as_text(result.learn)])


@as_text.register
def _(result: r.PromoteResult) -> str:
    before = f" instead of {result.champion}" if result.champion else ""
    told = {"promoted": f"{result.name} is champion now{before}.", "refused": f"{result.name} is refused."}
    lines = [told.get(result.decision, f"A person decides about {result.name}."), *(f"  {each}" for each in result.reasons)]
    lines += [
        f"  {each['group']} ({each['cases']}): {each['champion']:.3f} to {each['challenger']:.3f}"
        + (" worse" if each["worse"] else "")
        for each in result.groups
    ]
    lines += [f"  not counted: {count} frozen cases, {why}" for why, count in result.left_out.items()]
    return "\n".join([*lines, *([f"Page: {result.page}"] if result.page else [])])


@as_text.register
def _(result: r.RollbackResult) -> str:
    return f"{result.name} is champion again" + (f" instead of {result.instead_of}." if result.instead_of else ".")


@as_text.register
def _(result: r.ModelsResult) -> str:
    lines = [f"  {'':3} {'model':34} {'state':10} {'labels':>6} {result.metric or 'figure':>8}  decision"]
    for row in result.models:
        value = number((row["figure"] or {}).get("value"))
        decision = f"{row['decision'] or ''}{' (forced)' if row['forced'] else ''}"
        lines.append(f"  {row['id']:3} {row['name']:34} {row['state']:10} {row['labels']:6} {value}  {decision}")
    looks = f"The frozen test set has been looked at {result.looks} of {result.looks_allowed} times."
    return "\n".join([*(lines if result.models else []), result.says, looks])


@as_text.register
def _(result: r.MonitorResult) -> str:
    lines = [f"Alarm: {each['says']}" for each in result.alarms] or [result.says]
    return "\n".join([*lines, *([f"Page: {result.page}"] if result.page else [])])
