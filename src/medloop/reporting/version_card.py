"""The model card of a version in the loop, after Mitchell et al. 2019 (Model Cards for Model Reporting): Markdown and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medloop.reporting import words
from medloop.reporting.card import UNSIGNED
from medloop.types import Json, Metric, Target

_WORST = 3


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells of. ``labels``: those learnt from, by provenance; ``left_out``: labelled cases not learnt from, by reason.
    ``figures``: of the cases held out from its training. ``evidence``: of the last comparison on the frozen test set, or empty.
    ``history``: ``(time, what was decided and why)``, oldest first."""

    name: str
    state: str
    family: str
    created: str
    parent: str | None
    target: Target
    dataset: str
    labels: Mapping[str, int]
    left_out: Mapping[str, int]
    figures: Mapping[str, Metric]
    warnings: Sequence[str] = ()
    evidence: Mapping[str, Json] = field(default_factory=dict)
    history: Sequence[tuple[str, str]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def rows(facts: Facts) -> list[tuple[str, str]]:
    """``(heading, text)``; headings without text are left out."""
    found = [
        ("Intended use", UNSIGNED),
        ("State", f"{facts.state.capitalize()}, made {facts.created}."),
        ("What it answers", f"{words.headline(facts.target)}."),
        ("Kind of model", _kind(facts)),
        ("Learnt from", _learnt_from(facts)),
        ("Performance on cases held out from its training", words.verdict(facts.target, facts.figures) if facts.figures else ""),
        ("Performance on the frozen test set", _frozen(facts)),
        ("For whom it is worse", _worse(facts)),
        ("When unsure", "It says so: what is below its threshold, or unlike what it learnt from, is left to a person."),
        (
            "Not for",
            "Images of other kinds, devices, body parts or patients than those it learnt from; decisions without a person.",
        ),
        ("Limits known", " ".join(f"{text.rstrip('.')}." for text in facts.warnings)),
        ("Decisions", " ".join(f"{time}: {text}" for time, text in facts.history)),
        ("Personal data", "The model file holds no images and no patient names."),
    ]
    return [row for row in found if row[1]]


def as_markdown(facts: Facts) -> str:
    """The card as a page of Markdown."""
    parts = [f"# Model card: {_plain(facts.name)}"]
    parts += [f"## {heading}\n\n{_plain(text)}" for heading, text in rows(facts)]
    return "\n\n".join(parts) + "\n"


def as_json(facts: Facts) -> dict[str, Json]:
    """The card as data."""
    return {
        "name": facts.name,
        "state": facts.state,
        "card": [{"heading": heading, "text": text} for heading, text in rows(facts)],
    }


def _kind(facts: Facts) -> str:
    version = f"; medloop {facts.versions['medloop']}" if "medloop" in facts.versions else ""
    start = f", begun from {facts.parent}" if facts.parent else ""
    return f"{facts.family.capitalize()}{start}{version}."


def _learnt_from(facts: Facts) -> str:
    told = ", ".join(f"{count} {name}" for name, count in facts.labels.items())
    left = ", ".join(f"{count} {name}" for name, count in facts.left_out.items())
    parts = [
        f"{sum(facts.labels.values())} labels ({told})" if told else "",
        f"fingerprint {facts.dataset[:12]}" if facts.dataset else "",
    ]
    said = "; ".join(part for part in parts if part)
    more = f" Labelled cases left out: {left}." if left else ""
    return f"{said}. Labels that only a model gave are never learnt from.{more}" if said else ""


def _frozen(facts: Facts) -> str:
    """The figure on the frozen cases, and how it compares."""
    verdict = facts.evidence.get("verdict") or {}
    gain = verdict.get("gain")
    if not gain:
        return "It has not been compared on the frozen test set yet."
    own, other = ("challenger", "champion") if facts.evidence["challenger"]["name"] == facts.name else ("champion", "challenger")
    beside = f"beside {gain[other]:.3f} of {facts.evidence[other]['name']}"
    return (
        f"{words.term_of(gain['metric']).title} {gain[own]:.3f}, {beside}, on the same "
        f"{facts.evidence['cases']} cases of {facts.evidence['patients']} patients (look {verdict['look']} of "
        f"{verdict['looks_allowed']} at this test set)."
    )


def _worse(facts: Facts) -> str:
    verdict = facts.evidence.get("verdict") or {}
    if not verdict or facts.evidence["challenger"]["name"] != facts.name:
        return ""
    groups = sorted(verdict.get("groups") or [], key=lambda each: each["difference"])
    told = [
        f"{each['group']} ({each['cases']} cases): {each['champion']:.3f} to {each['challenger']:.3f}"
        for each in groups[:_WORST]
        if each["difference"] < 0
    ]
    if told:
        return "Than the champion before it: " + "; ".join(told) + "."
    return (
        f"Of {len(groups)} classes and subgroups that were compared, for none." if groups else "No group was large enough to tell."
    )


def _plain(text: str) -> str:
    """One line of text that Markdown does not take for markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_<>[]#|" else sign for sign in flat)
