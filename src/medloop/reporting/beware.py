"""What a reader must beware of, gravest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from medloop.evaluation import scores
from medloop.evaluation.evidence import Evidence
from medloop.types import Array, Json, Metric, TargetKind

FEW_OF_A_CLASS = 30
LEVELS = ("bad", "warn", "note")
_WHAT = {"held-out": "test"}


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence to heed. ``level``: ``bad``, ``warn`` or ``note``."""

    level: str
    text: str


def notices(
    evidence: Evidence,
    figures: Mapping[str, Metric],
    *,
    accepted_leaks: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
    looks: int | None = None,
    warnings: Sequence[str] = (),
    subgroups: Sequence[Mapping[str, Json]] = (),
    patients_known: bool = True,
) -> list[Notice]:
    """Every notice, gravest first. A warning that only repeats which class is left out is not told twice."""
    repeated = {text for text in warnings for name in left_out or {} if f"'{name}'" in text and "left out" in text}
    found = [Notice("bad", text) for text in accepted_leaks]
    if evidence.shift is not None and evidence.shift.alarm:
        found.append(Notice("warn", evidence.shift.says(_WHAT.get(evidence.protocol, "new"))))
    found += [Notice("warn", f"Class ‘{name}’ is left out: {why.rstrip('.')}.") for name, why in (left_out or {}).items()]
    found += [Notice("warn", f"Shortcut: {each.get('says', each)}") for each in evidence.shortcuts]
    found += _numbers(evidence, patients_known)
    found += _strength(figures)
    found += _shift(evidence, figures)
    found += _looks(looks, evidence.protocol)
    found += _rules(evidence)
    found += [
        Notice("warn", f"Among cases with {row['attribute']} ‘{row['group']}’ these figures are lower: {', '.join(row['worse'])}.")
        for row in subgroups
        if row.get("worse")
    ]
    found += [Notice("note", text) for text in warnings if text not in repeated]
    return sorted(found, key=lambda notice: LEVELS.index(notice.level))


def _numbers(evidence: Evidence, patients_known: bool) -> Iterator[Notice]:
    answers, target = evidence.answers, evidence.target
    patients = len(np.unique(answers.patients))
    if patients < 50:
        what = "patients" if patients_known else "cases"
        yield Notice("warn", f"Only {patients} {what} were judged: every figure is rough, as its interval shows.")
    if target.kind is TargetKind.NUMBER or target.kind.structured:
        return
    for name, count in zip(target.classes, class_counts(evidence), strict=True):
        if count == 0:
            yield Notice("warn", f"No judged case is ‘{name}’, so nothing is known of it.")
        elif count < FEW_OF_A_CLASS:
            yield Notice("warn", f"Only {count} judged {'case is' if count == 1 else 'cases are'} ‘{name}’: its figures are rough.")


def class_counts(evidence: Evidence) -> list[int]:
    """Judged cases of each class."""
    values = np.asarray(evidence.answers.values)
    if evidence.target.kind is TargetKind.MULTILABEL:
        return [int((values[:, k] == 1).sum()) for k in range(len(evidence.target.classes))]
    return [int((values == k).sum()) for k in range(len(evidence.target.classes))]


def _strength(figures: Mapping[str, Metric]) -> Iterator[Notice]:
    auc, ece = figures.get("auc"), figures.get("ece")
    if auc is not None and auc.low is not None and auc.low <= 0.5:
        yield Notice("bad", "The interval of the AUC holds 0.5: the model may be no better than guessing.")
    if ece is not None and ece.low is not None and ece.low > 0.05:
        yield Notice(
            "warn", f"Probabilities are off by {100 * (ece.value or 0):.0f} points on average: do not take them at their word."
        )


def _shift(evidence: Evidence, figures: Mapping[str, Metric]) -> Iterator[Notice]:
    """Judged cases that differ from the training cases, in difficulty or in the mix of classes."""
    if evidence.validation is None or evidence.protocol == "out-of-fold" or evidence.target.kind.structured:
        return
    name = "r2" if evidence.target.kind is TargetKind.NUMBER else "auc"
    before = scores.score_one(evidence.target, name, evidence.validation.values, evidence.validation.probabilities)
    here = figures.get(name, Metric(None))
    if before is not None and here.high is not None and here.high < before:
        yield Notice(
            "warn",
            f"{'R²' if name == 'r2' else 'AUC'} is lower here ({here.value:.3f}) than on training cases held out in turn "
            f"({before:.3f}): these cases differ from those it learnt from, or the search fitted the training cases too closely.",
        )
    if evidence.target.kind in (TargetKind.BINARY, TargetKind.MULTICLASS):
        yield from _mix(evidence.target.classes, evidence.validation.values, evidence.answers.values)


def _mix(classes: Sequence[str], before: Array, here: Array) -> Iterator[Notice]:
    counts = np.stack([np.bincount(np.asarray(values), minlength=len(classes)) for values in (before, here)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2 or (counts.sum(axis=1) == 0).any():
        return
    shares = np.stack([np.bincount(np.asarray(values), minlength=len(classes)) / len(values) for values in (before, here)])
    widest = int(np.abs(shares[1] - shares[0]).argmax())
    if abs(shares[1, widest] - shares[0, widest]) > 0.05 and stats.chi2_contingency(counts).pvalue < 0.001:
        yield Notice(
            "warn",
            f"Classes are mixed differently here: ‘{classes[widest]}’ is {100 * shares[1, widest]:.0f} % of these cases and "
            f"{100 * shares[0, widest]:.0f} % of the training cases; probabilities are calibrated for the latter.",
        )


def _rules(evidence: Evidence) -> Iterator[Notice]:
    """Answers that break a rule."""
    for each in evidence.structured:
        cases = {case for case, _ in each.violations}
        if cases:
            rules = ", ".join(f"‘{rule}’" for rule in dict.fromkeys(broken.rule for _, broken in each.violations))
            total = len(each.names) + each.unknown
            yield Notice("warn", f"{len(cases)} of {total} answers break a rule ({rules}): they are marked and listed.")


def _looks(looks: int | None, protocol: str) -> Iterator[Notice]:
    if looks is not None and looks > 1 and protocol != "out-of-fold":
        yield Notice(
            "warn", f"This test set has now been scored {looks} times; choices made after a look make later figures flatter."
        )
