"""What is said after learning, judging and predicting."""

from __future__ import annotations

import re
from typing import Any

from medloop import requests as r
from medloop.cli.text._words import as_text, number, reasons, some
from medloop.types import Metric

_FIRST = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ece", "log_loss", "mae", "rmse", "r2")
_STRUCTURED = re.compile(
    r"(dice|hd95_mm|hd95_px|surface_dice|map50|map|froc_1|shown_false|diameter_error_mm|diameter_error_px|mae|anomaly_auc|reconstruction_error)(_.+)?"
)
_STUDIES = 12
"""Studies that the demo shows."""
_MOST = 16
"""Figures of masks, boxes and measures that are shown; the report and --json have all."""


@as_text.register
def _(result: r.InspectResult) -> str:
    seen = f"{_counted(result.files, 'file')}: {result.used} used, {len(result.rejected)} rejected."
    lines = [
        f"{seen} {_cases(result.cases, result.patients)}.",
        f"Labels: {result.layout}" if result.layout else "Labels: none read.",
        *(f"  {name}: {count}" for name, count in result.classes.items()),
        *(f"  {each['target']}, {each['class']}: {each['count']} {each['of']} in {each['cases']} cases" for each in result.further),
    ]
    lines += reasons(result.rejected)
    lines += some("problems with the labels", [_problem(each) for each in result.label_problems])
    lines += some("groups of the same picture", [" = ".join(group) for group in result.duplicates])
    lines += some("leaks between splits", [f"{each['a']} / {each['b']} ({each['kind']})" for each in result.leaks])
    lines += some("pictures under two labels", [str(each.get("says") or each) for each in result.conflicts])
    lines += some("shortcuts", [str(each["says"]) for each in result.shortcuts])
    lines += some("pictures that may show burnt-in text", result.burnt_in_text)
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
    lines += reasons(result.rejected)
    lines += [f"Note: {each}" for each in result.warnings]
    if result.violations:
        broken = "1 case breaks" if result.violations == 1 else f"{result.violations} cases break"
        lines.append(f"Beware: {broken} a rule; the column 'violations' of the measures says which.")
    places = {
        "Predictions": result.out,
        "Masks": result.masks,
        "Anomaly maps": result.anomaly,
        "Boxes": result.boxes,
        "Measures": result.measures,
        "Parts": result.parts,
        "Explanations": result.explained,
    }
    return "\n".join([*lines, *(f"{name}: {place}" for name, place in places.items() if place is not None)])


@as_text.register
def _(result: r.CompareResult) -> str:
    lines = [f"{result.cases} cases that both runs judged.", f"  {'':20} {'a':>8} {'b':>8} {'b - a':>8}   95 % interval"]
    for row in result.rows:
        low, high = row.get("low"), row.get("high")
        between = "" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
        lines.append(f"  {row['metric']:20} {number(row['a'])} {number(row['b'])} {number(row['difference'])}   {between}")
    return "\n".join([*lines, result.says])


@as_text.register
def _(result: r.ExportResult) -> str:
    return "\n".join(result.files)


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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _figures(test: dict[str, Metric]) -> list[str]:
    names = [name for name in _FIRST if name in test]
    further = [name for name in test if name not in names and _STRUCTURED.fullmatch(name) and test[name].value is not None]
    names += [name for name in further if name.startswith(("dice", "map50", "anomaly_auc"))] or further
    names = names[:_MOST]
    wide = max([18, *map(len, names)])
    return [f"  {name.replace('_', ' '):{wide}} {_metric(test[name])}" for name in names]


def _metric(metric: Metric) -> str:
    if metric.value is None:
        return f"not known: {metric.reason}"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f} (no interval: {metric.reason})"
    return f"{metric.value:.3f}  (95 %: {metric.low:.3f} to {metric.high:.3f})"


def _problem(each: dict[str, Any]) -> str:
    row = f"row {each['row']}: " if each.get("row") else ""
    return f"{row}{each.get('name') or ''} {each['problem']}".strip()
