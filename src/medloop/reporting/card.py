"""The model card and the methods paragraph, from what was recorded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medloop.evaluation.evidence import Evidence
from medloop.reporting import words
from medloop.requests import DatasetSummary
from medloop.types import Metric, Target, TargetKind

PARTS = {"train": "training", "val": "validation", "test": "testing"}
EXTERNAL = "external"
_EXTERNAL_MODEL = (
    "A model learnt earlier on other data was applied unchanged: its preparation, features, calibration and thresholds are those "
    "fixed when it was learnt. Cases that it had learnt from were left out."
)
UNSIGNED = "Research and development only. Not for clinical use: nobody has signed for any other use."


def model_card(
    evidence: Evidence, dataset: DatasetSummary, figures: Mapping[str, Metric], family: str, cautions: list[str]
) -> list[tuple[str, str]]:
    """Rows ``(heading, text)`` after Mitchell et al. 2019."""
    rows = [
        ("Intended use", evidence.signed or UNSIGNED),
        ("What it answers", "; ".join(dict.fromkeys(map(words.headline, _targets(evidence)))) + "."),
        ("Kind of model", f"{family.capitalize()}; medloop {evidence.versions.get('medloop', '')}".strip() + "."),
        ("Learnt from", _learnt_from(evidence, dataset)),
        ("Judged on", judged_on(evidence, dataset) + "."),
        ("Performance", _performance(evidence, figures)),
        ("When unsure", _when_unsure(evidence)),
        (
            "Not for",
            "Images of other kinds, devices, body parts or patients than those it learnt from; decisions without a person.",
        ),
        (
            "Limits known",
            " ".join(f"{text.rstrip('.')}." for text in cautions) or "None were found; that does not mean there are none.",
        ),
        ("Personal data", "The model file holds no images and no patient names."),
    ]
    return [row for row in rows if row[1]]


def _targets(evidence: Evidence) -> list[Target]:
    return [evidence.target, *(each.target for each in evidence.structured)]


def _performance(evidence: Evidence, figures: Mapping[str, Metric]) -> str:
    further = [words.verdict(each.target, each.figures) for each in evidence.structured if each.target != evidence.target]
    return " ".join([words.verdict(evidence.target, figures), *further])


def _when_unsure(evidence: Evidence) -> str:
    if evidence.target.kind is TargetKind.NUMBER:
        return "It always gives a number."
    if evidence.target.kind.structured:
        return "It always gives an answer; one that breaks a rule is marked."
    return evidence.decision.promise


def _learnt_from(evidence: Evidence, dataset: DatasetSummary) -> str:
    """Empty where the dataset is only the one judged on."""
    if evidence.protocol == EXTERNAL:
        return ""
    patients = f" of {dataset.patients} patients" if dataset.patients is not None else ""
    source = f" from {evidence.source}" if evidence.source else ""
    return f"A collection of {dataset.cases} cases{patients}{source} (fingerprint {dataset.fingerprint[:12]})."


def judged_on(evidence: Evidence, dataset: DatasetSummary) -> str:
    """Whom the figures are about, as a phrase."""
    cases, patients = len(evidence.answers), len(np.unique(evidence.answers.patients))
    whom = f"{cases} cases" if dataset.patients is None or cases == patients else f"{cases} cases of {patients} patients"
    seen = "it" if dataset.patients is None else "its patient"
    return {
        "held-out": f"{whom} held out from all learning and choosing",
        "out-of-fold": f"{whom}, each judged by a model that had not seen {seen} (cross-validation)",
    }.get(evidence.protocol, f"{whom} from another source than the model learnt from")


def methods(evidence: Evidence, dataset: DatasetSummary, family: str, recipe: str, looks: int | None) -> str:
    """A paragraph to paste into a paper."""
    if evidence.protocol == EXTERNAL:
        return f"{_EXTERNAL_MODEL} {_judging(evidence, dataset, looks)}"
    parts = [
        _data(evidence, dataset),
        _model(evidence, family, recipe),
        _probabilities(evidence),
        _judging(evidence, dataset, looks),
    ]
    return " ".join(part for part in parts if part)


def _data(evidence: Evidence, dataset: DatasetSummary) -> str:
    patients = f" from {dataset.patients} patients" if dataset.patients is not None else ""
    left_out = f" Classes left out for want of cases: {', '.join(dataset.left_out)}." if dataset.left_out else ""
    return (
        f"The collection comprised {dataset.cases} cases{patients} (fingerprint {dataset.fingerprint[:12]}{split_of(dataset)}). "
        f"Cases of one patient, and exact or near duplicate images, were kept on one side of every split.{left_out}"
    )


def split_of(dataset: DatasetSummary) -> str:
    """The parts of the split that have cases, after a colon; empty where there is one part only."""
    parts = {name: count for name, count in dataset.split.items() if count}
    return ": " + ", ".join(f"{count} for {PARTS.get(name, name)}" for name, count in parts.items()) if len(parts) > 1 else ""


def _model(evidence: Evidence, family: str, recipe: str) -> str:
    trials = f" among {len(evidence.search)} configurations" if evidence.search else ""
    return (
        f"A {family} model (recipe ‘{recipe}’) was chosen{trials} by cross-validation grouped by patient, on training and "
        f"validation cases only, with medloop {evidence.versions.get('medloop', '')} and "
        f"scikit-learn {evidence.versions.get('scikit-learn', '')}."
    )


def _probabilities(evidence: Evidence) -> str:
    if evidence.target.kind is TargetKind.NUMBER or evidence.target.kind.structured:
        return ""
    method = ""
    if evidence.calibrator is not None:
        method = f" ({', '.join(dict.fromkeys(evidence.calibrator.methods))})"
    told = (
        f"Probabilities were calibrated{method} and thresholds chosen for balanced accuracy on out-of-fold predictions of "
        "training cases."
    )
    if evidence.decision.abstain_below is not None and evidence.decision.risk is not None:
        told += (
            f" The model abstains below a confidence of {evidence.decision.abstain_below:.2f}, chosen so that the upper bound of "
            f"the selective risk was at most {100 * evidence.decision.risk:.0f} % (fixed-sequence testing, Clopper-Pearson)."
        )
    return told


def _judging(evidence: Evidence, dataset: DatasetSummary, looks: int | None) -> str:
    scored = ""
    if looks is not None and evidence.protocol != "out-of-fold":
        scored = f" This test set had been scored {looks} time{'s' if looks != 1 else ''} in all."
    exact = (
        ""
        if evidence.target.kind is TargetKind.NUMBER or evidence.target.kind.structured
        else "for accuracy, sensitivity and specificity Clopper-Pearson intervals, else "
    )
    return (
        f"Figures are for {judged_on(evidence, dataset)}. Intervals of 95 % are at patient level: {exact}"
        f"percentile bootstrap with 1,000 resamples of patients.{scored}"
    )
