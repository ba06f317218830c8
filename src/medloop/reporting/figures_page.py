"""What the report of a learnt model and the report of an evaluation have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medloop.evaluation import curves
from medloop.evaluation.evidence import Evidence
from medloop.reporting import beware, card, charts, growth, parts, rungs, structured, words
from medloop.requests import DatasetSummary
from medloop.types import Json, Metric, TargetKind
from medloop.version import VERSION


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """What a report tells of: ``evidence`` and the parts of a result that both verbs have."""

    evidence: Evidence
    figures: Mapping[str, Metric]
    dataset: DatasetSummary
    family: str
    recipe: str
    looks: int | None
    warnings: Sequence[str]
    subgroups: Sequence[Mapping[str, Json]]
    accepted_leaks: Sequence[str] = ()
    ladder: Sequence[Mapping[str, Json]] = ()


def context(told: Told, *, kicker: str, learnt: bool) -> dict[str, Any]:
    """Everything that ``figures.html.j2`` shows. ``learnt``: with the parts about learning."""
    evidence, target = told.evidence, told.evidence.target
    of_classes = not target.kind.structured
    figures = _own(told)
    notices = beware.notices(
        evidence,
        figures,
        accepted_leaks=told.accepted_leaks,
        left_out=told.dataset.left_out,
        looks=told.looks,
        warnings=told.warnings,
        subgroups=told.subgroups,
        patients_known=told.dataset.patients is not None,
    )
    worst, best = parts.cases_to_see(evidence)
    grave = [notice.text for notice in notices if notice.level != "note"]
    number = target.kind is TargetKind.NUMBER
    found = {
        "title": _title(evidence),
        "kicker": kicker,
        "stamp": None if evidence.signed else "Not for clinical use",
        "verdict": _verdict(evidence, figures),
        "tiles": _tiles(evidence, figures),
        "whom": _whom(told),
        "notices": notices,
        "judged": card.judged_on(evidence, told.dataset),
        "intervals_are": _intervals_are(number),
        "overall": parts.overall(figures) if of_classes else [],
        "by_class": parts.by_class(target, figures) if of_classes else ([], []),
        "structured": structured.sections(evidence.structured),
        "curves": _curves(evidence, figures),
        "ranking": not number,
        "calibration": parts.calibration(evidence, figures),
        "matrix": parts.confusion(target, evidence.answers),
        "classes": target.classes,
        "points": parts.operating_points(evidence),
        "abstention": parts.abstention(evidence),
        "worst": worst,
        "best": best,
        "heat_says": evidence.heat_says if any(each.beside for each in (*worst, *best)) else "",
        "augmented": parts.augmented(evidence),
        "number": number,
        **_subgroups(told),
        "learning": growth.learning(evidence.learning_curve) if learnt else None,
        "learning_says": _more_labels(evidence) if learnt else "",
        "data_lines": _data(told),
        "balance": _balance(evidence),
        "ladder": rungs.ladder(told.ladder),
        "losses": [*rungs.losses(evidence.search), *rungs.weights(evidence.search)] if learnt else [],
        "search": growth.search(evidence.search) if learnt else (None, [], []),
        "recipe": evidence.recipe_toml,
        "methods": card.methods(evidence, told.dataset, told.family, told.recipe, told.looks),
        "versions": [(name, text) for name, text in evidence.versions.items()],
        "card": card.model_card(evidence, told.dataset, figures, told.family, grave),
        "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
    }
    return found | {"contents": _contents(found)}


def _contents(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = (
        ("figures", "Figures", found["overall"]),
        *((each.id, each.title, True) for each in found["structured"]),
        ("curves", "Curves", found["curves"]),
        ("decisions", "Decisions", found["matrix"] or found["calibration"] or found["points"]),
        ("abstention", "Abstention", found["abstention"][0]),
        ("pictures", "Pictures", found["worst"] or found["best"]),
        ("subgroups", "Subgroups", found["subgroups"]),
        ("learning", "More labels?", found["learning_says"]),
        ("data", "Data", True),
        ("search", "Search", found["ladder"] or found["search"][0] or found["search"][2]),
        ("augmentation", "Augmentation", found["augmented"]),
        ("recipe", "Recipe", found["recipe"]),
        ("methods", "Methods", True),
        ("card", "Model card", True),
    )
    return [(name, title) for name, title, there in sections if there]


def _own(told: Told) -> Mapping[str, Metric]:
    """The figures of the target that the page is about first: those of masks, boxes and measures stand in their own sections."""
    evidence = told.evidence
    if evidence.target.kind.structured:
        return evidence.structured[0].figures if evidence.structured else told.figures
    others = {name for each in evidence.structured for name in each.figures}
    return {name: metric for name, metric in told.figures.items() if name not in others}


def _title(evidence: Evidence) -> str:
    further = [each.target for each in evidence.structured if each.target != evidence.target]
    told = [words.headline(each) for each in (evidence.target, *further)]
    return ", ".join([told[0], *(each[0].lower() + each[1:] for each in told[1:])])


def _verdict(evidence: Evidence, figures: Mapping[str, Metric]) -> str:
    further = [words.verdict(each.target, each.figures) for each in evidence.structured if each.target != evidence.target]
    return " ".join(part for part in (words.verdict(evidence.target, figures), *further, _in_a_hundred(evidence)) if part)


def _tiles(evidence: Evidence, figures: Mapping[str, Metric]) -> list[parts.Tile]:
    """Six or fewer of each target; beside classes three of each other."""
    if evidence.target.kind.structured:
        return [tile for each in evidence.structured for tile in structured.tiles(each, 6 // len(evidence.structured) or 1)]
    return parts.tiles(evidence.target, figures) + [tile for each in evidence.structured for tile in structured.tiles(each, 3)]


def _curves(evidence: Evidence, figures: Mapping[str, Metric]) -> list[charts.Chart]:
    if evidence.target.kind.structured:
        return []
    return parts.regression(evidence, figures) if evidence.target.kind is TargetKind.NUMBER else parts.ranking(evidence)


def _more_labels(evidence: Evidence) -> str:
    if evidence.target.kind.structured:
        return "Whether more labels would help is measured for classes and numbers only."
    return growth.more_labels(evidence.learning_curve, evidence.learning_curve_of)


def _intervals_are(number: bool) -> str:
    if number:
        return "They are from 1,000 resamples of the patients."
    return (
        "For accuracy, sensitivity and specificity they are exact (Clopper-Pearson, patients with several cases counted as "
        "fewer); for all else they are from 1,000 resamples of the patients."
    )


def _in_a_hundred(evidence: Evidence) -> str:
    """The decisions in natural frequencies (binary), and what always saying the commonest class would reach."""
    choices = evidence.answers.decided.choices
    if choices is None or choices.ndim == 2 or len(evidence.answers) == 0:
        return ""
    classes = evidence.target.classes
    counts = curves.confusion(evidence.answers.values, choices, len(classes))
    rare = counts.sum(axis=1).min() < 0.1 * counts.sum()
    of = 1000 if rare and evidence.target.kind is TargetKind.BINARY else 100
    share = of * counts / counts.sum()
    top = int(share.sum(axis=1).argmax())
    told = f"Always saying ‘{classes[top]}’ would be right for {share[top].sum():.0f} of {of}."
    if evidence.target.kind is TargetKind.MULTICLASS:
        return told
    (spared, alarmed), (missed, found) = share
    return (
        f"Of {of} cases like these, {missed + found:.0f} are ‘{classes[1]}’: {found:.0f} found, {missed:.0f} missed; of the "
        f"{spared + alarmed:.0f} others {alarmed:.0f} raise a false alarm. {told}"
    )


def _whom(told: Told) -> list[str]:
    evidence, dataset = told.evidence, told.dataset
    patients = f" of {dataset.patients} patients" if dataset.patients is not None else " (patients unknown)"
    lines = [
        f"{dataset.cases} cases{patients}{f' from {evidence.source}' if evidence.source else ''}{card.split_of(dataset)}.",
        f"Figures above are of {card.judged_on(evidence, dataset)}.",
    ]
    if dataset.classes:
        shown = list(dataset.classes.items())[:8]
        lines.append(
            "Classes: " + ", ".join(f"{name} {count}" for name, count in shown) + ("…" if len(dataset.classes) > 8 else ".")
        )
    if told.looks is not None and evidence.protocol != "out-of-fold":
        lines.append(f"Looks at this test set so far, this one included: {told.looks}.")
    return lines


def _data(told: Told) -> list[str]:
    dataset = told.dataset
    lines = [f"Fingerprint of the dataset: {dataset.fingerprint}."]
    patients = told.evidence.split_patients
    if patients and dataset.patients is not None:
        lines.append(
            "Patients: " + ", ".join(f"{count} for {card.PARTS.get(name, name)}" for name, count in patients.items()) + "."
        )
    lines += [f"Class ‘{name}’ was left out: {why}" for name, why in dataset.left_out.items()]
    return lines


def _balance(evidence: Evidence) -> tuple[list[str], list[tuple[str, list[str]]]]:
    names = list(dict.fromkeys(name for counts in evidence.split_classes.values() for name in counts))
    rows = []
    for part, counts in evidence.split_classes.items():
        total = max(1, sum(counts.values()))
        cells = [f"{counts.get(name, 0)} ({100 * counts.get(name, 0) / total:.0f} %)" for name in names]
        rows.append((card.PARTS.get(part, part), cells))
    return names, rows


def _subgroups(told: Told) -> dict[str, Any]:
    rows = told.subgroups
    columns = [name for name in words.TERMS if any(name in row.get("figures", {}) for row in rows)]
    shown = []
    for row in rows:
        found = [(name, parts.metric_of(row["figures"].get(name, Metric(None)))) for name in columns]
        shown.append(
            {
                "name": f"{row['attribute']}: {row['group']}",
                "cases": row["cases"],
                "patients": row["patients"],
                "cells": [(words.shown(name, metric.value), words.interval(name, metric)) for name, metric in found],
                "worse": ", ".join(words.TERMS[name].title for name in row.get("worse", ()) if name in words.TERMS),
            }
        )
    return {
        "subgroups": shown,
        "subgroup_columns": [words.TERMS[name].title for name in columns],
        "subgroup_charts": parts.subgroup_charts(told.evidence.target, told.figures, rows),
    }
