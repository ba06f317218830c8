"""Results as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import singledispatch
from typing import Any

from medloop import requests as r
from medloop.types import Metric

_REASONS = 12
_FIRST = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ece", "log_loss", "mae", "rmse", "r2")
_STRUCTURED = re.compile(
    r"(dice|hd95_mm|hd95_px|surface_dice|map50|map|froc_1|shown_false|diameter_error_mm|diameter_error_px|mae)(_.+)?"
)
_STUDIES = 12
"""Studies that the demo shows."""
_MOST = 16
"""Figures of masks, boxes and measures that are shown; the report and --json have all."""


@singledispatch
def as_text(result: Any) -> str:
    """What a person reads after a verb is done."""
    raise TypeError(f"no text for {type(result).__name__}")


@as_text.register
def _(result: r.InspectResult) -> str:
    seen = f"{_counted(result.files, 'file')}: {result.used} used, {len(result.rejected)} rejected."
    lines = [
        f"{seen} {_cases(result.cases, result.patients)}.",
        f"Labels: {result.layout}" if result.layout else "Labels: none read.",
        *(f"  {name}: {count}" for name, count in result.classes.items()),
        *(f"  {each['target']}, {each['class']}: {each['count']} {each['of']} in {each['cases']} cases" for each in result.further),
    ]
    lines += _reasons(result.rejected)
    lines += _some("problems with the labels", [_problem(each) for each in result.label_problems])
    lines += _some("groups of the same picture", [" = ".join(group) for group in result.duplicates])
    lines += _some("leaks between splits", [f"{each['a']} / {each['b']} ({each['kind']})" for each in result.leaks])
    lines += _some("pictures under two labels", [str(each.get("says") or each) for each in result.conflicts])
    lines += _some("shortcuts", [str(each["says"]) for each in result.shortcuts])
    lines += _some("pictures that may show burnt-in text", result.burnt_in_text)
    lines += [f"Note: {each}" for each in result.warnings]
    return "\n".join([*lines, f"Report: {result.report}"])


@as_text.register
def _(result: r.LearnResult) -> str:
    data = result.dataset
    parts = ", ".join(f"{count} {name}" for name, count in data.split.items())
    judged = "judged on the held-out test split" if result.protocol == "held-out" else "judged out of fold, by patient"
    lines = [f"Learnt from {_cases(data.cases, data.patients)} ({parts}); {judged}."]
    lines += [f"Beware: {each}" for each in result.accepted_leaks]
    lines += _figures(result.test)
    lines += _alarm(result.shift)
    lines += [_rung(row) for row in result.ladder] if len(result.ladder) > 1 else []
    if result.looks:
        lines.append(f"This test set has now been scored {_times(result.looks)}.")
    lines += [f"Note: {each}" for each in result.warnings]
    lines += [
        f"Took {result.seconds:.0f} s, at most {result.peak_private_mb:.0f} MB.",
        f"Model:  {result.model}",
        f"Report: {result.report}",
    ]
    return "\n".join(lines)


@as_text.register
def _(result: r.DryRunResult) -> str:
    parts = ", ".join(f"{count} {name}" for name, count in result.dataset.split.items())
    what = f"{result.dataset.cases} cases ({parts})"
    lines = [f"Would learn from {what} with the recipe {result.recipe} ({result.family}). Nothing was written."]
    lines += [f"  prepare: {step['name']} {step.get('params') or ''}".rstrip() for step in result.preparation]
    lines += [f"  {step['step']}: about {step['seconds']:.0f} s" for step in result.steps]
    lines += [f"Note: {each}" for each in result.warnings]
    return "\n".join([*lines, f"About {result.seconds:.0f} s in all."])


@as_text.register
def _(result: r.EvaluateResult) -> str:
    lines = [f"Judged on {_counted(result.dataset.cases, 'case')}.", *_figures(result.test), *_alarm(result.shift)]
    if result.looks:
        lines.append(f"This test set has now been scored {_times(result.looks)}.")
    lines += [f"Note: {each}" for each in result.warnings]
    return "\n".join([*lines, f"Report: {result.report}"])


@as_text.register
def _(result: r.PredictResult) -> str:
    left = f", {result.abstained} of them left to a person" if result.labels or result.abstained else ""
    lines = [f"{_counted(result.cases, 'case')}{left}."]
    lines += [f"  {label}: {count}" for label, count in result.labels.items()]
    lines += _reasons(result.rejected)
    lines += [f"Note: {each}" for each in result.warnings]
    if result.violations:
        broken = "1 case breaks" if result.violations == 1 else f"{result.violations} cases break"
        lines.append(f"Beware: {broken} a rule; the column 'violations' of the measures says which.")
    places = {
        "Predictions": result.out,
        "Masks": result.masks,
        "Boxes": result.boxes,
        "Measures": result.measures,
        "Explanations": result.explained,
    }
    return "\n".join([*lines, *(f"{name}: {place}" for name, place in places.items() if place is not None)])


@as_text.register
def _(result: r.CompareResult) -> str:
    lines = [f"{result.cases} cases that both runs judged.", f"  {'':20} {'a':>8} {'b':>8} {'b - a':>8}   95 % interval"]
    for row in result.rows:
        low, high = row.get("low"), row.get("high")
        between = "" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
        lines.append(f"  {row['metric']:20} {_number(row['a'])} {_number(row['b'])} {_number(row['difference'])}   {between}")
    return "\n".join([*lines, result.says])


@as_text.register
def _(result: r.ExportResult) -> str:
    return "\n".join(result.files)


@as_text.register
def _(result: r.IngestResult) -> str:
    lines = [f"{len(result.fresh)} new studies, {result.known} known already, {result.labels} labels, from {result.files} files."]
    lines += [f"{result.replaced} studies gave way to more complete ones."] if result.replaced else []
    lines += [f"{result.waiting} studies wait for more of their files."] if result.waiting else []
    return "\n".join([*lines, *_reasons(result.rejected), *(f"Note: {each}" for each in result.warnings)])


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
def _(result: r.SampleResult) -> str:
    return (
        f"Wrote {result.files} files of {result.patients} patients ({result.studies} studies) in {result.seconds:.0f} s.\n"
        f"Images: {result.images}\nLabels: {result.labels}"
    )


@as_text.register
def _(result: r.DemoResult) -> str:
    return "\n".join(
        [
            "1. Sample: " + as_text(result.sample).replace("\n", "\n   "),
            "2. Inspect: " + as_text(result.inspect).replace("\n", "\n   "),
            "3. Learn: " + as_text(result.learn).replace("\n", "\n   "),
            "4. Evaluate: " + as_text(result.evaluate).replace("\n", "\n   "),
            "5. Predict: " + as_text(result.predict).replace("\n", "\n   "),
            *(["6. Outline: " + as_text(result.outlines).replace("\n", "\n   ")] if result.outlines else []),
            f"\nAll in {result.seconds:.0f} s. Open the report in a browser:\n  {result.report}",
        ]
    )


@as_text.register
def _(result: r.QueueResult) -> str:
    waiting = ", ".join(f"{count} {state}" for state, count in result.waiting.items() if count)
    lines = [f"Waiting: {waiting or 'nothing'}. By {result.order}:"]
    lines += [f"  case {each['case_id']:<6} {each['state']:12} {_proposal(each)}" for each in result.cases]
    return "\n".join([*lines, *([f"More: --after {result.after}"] if result.after else [])])


def _proposal(row: dict[str, Any]) -> str:
    """What is proposed of a case of the worklist, and why it is there."""
    if row["blind"]:
        said = "read blind"
    elif row["label"]:
        said = row["label"] if row["confidence"] is None else f"{row['label']} {100 * row['confidence']:.0f} %"
    else:
        said = "nothing proposed"
    return "; ".join(filter(None, (said, row["why"])))


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
        [*lines, *_some("labels to look at again", [f"case {each['case_id']}: {each['why']}" for each in result.cases])]
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
    return "\n".join([*lines, result.says])


@as_text.register
def _(result: r.SimulateResult) -> str:
    hours = result.hours
    lines = [
        f"With all {result.labels} labels: AUC {result.full_auc:.3f}. {100 * result.goal:.1f} % of it takes",
        f"  {100 * result.labels_needed:5.1f} % of the labels when they are asked for ({hours['asked']:g} hours of reading)",
        f"  {100 * result.labels_needed_random:5.1f} % when they are taken at random ({hours['random']:g} hours)",
        f"Saved: {hours['saved']:g} hours at {result.reading_seconds:g} s a case.",
        *(f"Note: {each}" for each in result.warnings),
    ]
    return "\n".join([*lines, f"Report: {result.report}"])


@as_text.register
def _(result: r.RetrainResult) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in result.labels.items())
    lines = [f"Challenger {result.challenger} ({result.name}) learnt from {labels} labels."]
    lines += [f"  not learnt from: {count} {reason}" for reason, count in result.left_out.items() if count]
    return "\n".join([*lines, as_text(result.learn)])


@as_text.register
def _(result: r.WorkerResult) -> str:
    return f"{result.done} jobs done, {result.failed} failed, in {result.seconds:.0f} s."


@as_text.register
def _(result: r.ServeResult) -> str:
    return f"Served {result.url} for {result.seconds:.0f} s."


@as_text.register
def _(result: r.AuditResult) -> str:
    return f"The trail is whole: {result.entries} entries.\nIts head, worth noting elsewhere: {result.head}"


@as_text.register
def _(result: r.BackupResult) -> str:
    held = f"{result.studies} studies, {result.blobs} blobs, {result.models} models, {result.bytes / 1e6:.1f} MB"
    return f"{held}: {result.out}\nHead of the trail: {result.head}"


@as_text.register
def _(result: r.ForgetResult) -> str:
    lines = [f"Deleted {result.blobs} blobs of {result.studies} studies. The audit trail stays whole."]
    if result.models:
        lines.append(f"Models that may have learnt from them still exist: {', '.join(result.models)}.")
    return "\n".join([*lines, "Backups made before still hold them: delete those when their time is over."])


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
        value = _number((row["figure"] or {}).get("value"))
        decision = f"{row['decision'] or ''}{' (forced)' if row['forced'] else ''}"
        lines.append(f"  {row['id']:3} {row['name']:34} {row['state']:10} {row['labels']:6} {value}  {decision}")
    looks = f"The frozen test set has been looked at {result.looks} of {result.looks_allowed} times."
    return "\n".join([*(lines if result.models else []), result.says, looks])


@as_text.register
def _(result: r.MonitorResult) -> str:
    lines = [f"Alarm: {each['says']}" for each in result.alarms] or [result.says]
    return "\n".join([*lines, *([f"Page: {result.page}"] if result.page else [])])


@as_text.register
def _(result: r.OutlinesResult) -> str:
    lines = ["new study   class       confidence   longest diameter, mm: found    true"]
    for row in result.rows[:_STUDIES]:
        lengths = (f"{_length(row['found_mm']):>29} {_length(row['true_mm']):>7}   {row['rules']}").rstrip()
        lines.append(f"{row['case']:11} {row['class']:11} {_length(row['confidence'], 2):>10} {lengths}")
    more = len(result.rows) - _STUDIES
    lines += [f"… and {more} more in {result.predict.measures}"] if more > 0 else []
    if result.mean_error_mm is not None:
        lines.append(f"Mean error of the diameters: {result.mean_error_mm:.1f} mm.")
    if result.mistaken is not None:
        lines.append(f"If the file of {result.mistaken['case']} gave centimetres where millimetres are meant, the rule catches it:")
        lines += [f"  {each['rule']}: {each['value']} (allowed: {each['allowed']})" for each in result.mistaken["caught"]]
    return "\n".join([*lines, f"Masks: {result.predict.masks}", f"Report with outlines: {result.learn.report}"])


@as_text.register
def _(result: r.DoctorResult) -> str:
    lines = [f"{check['state']:8} {check['what']}: {check['says']}{_mend(check)}" for check in result.checks]
    return "\n".join([*lines, "All is well." if result.healthy else "Something is wrong; see above."])


def _cases(cases: int, patients: int | None) -> str:
    """So many cases of so many patients."""
    unknown = "an unknown patient" if cases == 1 else "unknown patients"
    return f"{_counted(cases, 'case')} of {unknown if patients is None else _counted(patients, 'patient')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _length(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _alarm(shift: dict[str, Any] | None) -> list[str]:
    return [f"Beware: {shift['says']}"] if shift and shift["alarm"] else []


def _rung(row: dict[str, Any]) -> str:
    """One family of the ladder: chosen or not, its cross-validated figure, its time, and why."""
    name = " ".join(part for part in (row["family"], f"({row['how']})" if row["how"] else "") if part)
    value = (row["validation"] or {}).get("value")
    figure = "" if value is None else f" cross-validated {row['metric']} {value:.3f}, {row['seconds']:.0f} s."
    return f"{'*' if row['chosen'] else ' '} {name}:{figure} {row['reason']}"


def _mend(check: dict[str, str]) -> str:
    return f" To mend: {check['fix']}" if check.get("fix") else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _figures(test: dict[str, Metric]) -> list[str]:
    names = [name for name in _FIRST if name in test]
    further = [name for name in test if name not in names and _STRUCTURED.fullmatch(name) and test[name].value is not None]
    names += [name for name in further if name.startswith(("dice", "map50"))] or further
    names = names[:_MOST]
    wide = max([18, *map(len, names)])
    return [f"  {name.replace('_', ' '):{wide}} {_metric(test[name])}" for name in names]


def _metric(metric: Metric) -> str:
    if metric.value is None:
        return f"not known: {metric.reason}"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f} (no interval: {metric.reason})"
    return f"{metric.value:.3f}  (95 %: {metric.low:.3f} to {metric.high:.3f})"


def _number(value: Any) -> str:
    return f"{value:8.3f}" if isinstance(value, (int, float)) else f"{'-':>8}"


def _reasons(rejected: list[dict[str, str]]) -> list[str]:
    grouped: dict[str, list[str]] = {}
    for each in rejected:
        grouped.setdefault(each["reason"], []).append(each["path"])
    shown = sorted(grouped.items(), key=lambda item: -len(item[1]))
    lines = [f"  not used, {reason}: {_few(paths)}" for reason, paths in shown[:_REASONS]]
    more = sum(len(paths) for _, paths in shown[_REASONS:])
    return [*lines, f"  not used for other reasons: {more} more (--json lists all)"] if more else lines


def _problem(each: dict[str, Any]) -> str:
    row = f"row {each['row']}: " if each.get("row") else ""
    return f"{row}{each.get('name') or ''} {each['problem']}".strip()


def _some(what: str, lines: Iterable[str]) -> list[str]:
    shown = list(lines)
    if not shown:
        return []
    more = [f"  … and {len(shown) - 5} more, all in the report"] if len(shown) > 5 else []
    return [f"{len(shown)} {what}:", *(f"  {line}" for line in shown[:5]), *more]


def _few(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
