"""What is proposed for a case, in one paragraph that a doctor can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medloop.store.records import ProposalRow
from medloop.types import Json

_MEASURES = ("count", "longest diameter", "volume", "area")
_MOST = 6


def summary(made: ProposalRow) -> str:
    """One paragraph: the label and how sure it is, what is found and how large, the rules broken, codes, and what to do."""
    return " ".join(part for part in (_label(made), _found(made.findings), _broken(made.findings), _codes(made), _do(made)) if part)


def _label(made: ProposalRow) -> str:
    if made.decision == "unlike" or (not made.label and not made.probabilities):
        return "Nothing is proposed." if made.decision == "unlike" else ""
    label = made.label.replace("|", ", ") or "none of the findings asked for"
    if made.confidence is None:
        return f"Proposed: {label}."
    other = sorted(((value, name) for name, value in made.probabilities.items() if name != made.label), reverse=True)[:1]
    rest = f"; {other[0][1]} {_percent(other[0][0])}" if other and other[0][0] >= 0.05 and "|" not in made.label else ""
    return f"Proposed: {label} ({_percent(made.confidence)} sure{rest})."


def _found(findings: Mapping[str, Json]) -> str:
    told = [each for each in findings.get("measures", ()) if any(each["name"].endswith(name) for name in _MEASURES)]
    said = [f"{each['name']} {each['value']:.3g}{' ' + each['unit'] if each['unit'] else ''}" for each in told if each["value"]]
    boxes = findings.get("boxes", {}).get("boxes", ())
    if boxes and not said:
        classes = findings["boxes"]["classes"]
        counts = {name: sum(classes[each["class"]] == name for each in boxes) for name in classes}
        said = [f"{count} {name}" for name, count in counts.items() if count]
    return f"Found: {', '.join(said[:_MOST])}." if said else ""


def _broken(findings: Mapping[str, Json]) -> str:
    broken = findings.get("violations", ())
    told = [f"{each['rule']} ({each['value']}; allowed {each['allowed']})" for each in broken]
    return f"Breaks {'a rule' if len(told) == 1 else 'rules'}: {'; '.join(told)}." if told else ""


def _codes(made: ProposalRow) -> str:
    return _listed([f"{each['standard']} {each['code']} ({each['name']})" for each in made.standards])


def _listed(codes: Sequence[str]) -> str:
    return f"Codes: {'; '.join(codes)}." if codes else ""


def _do(made: ProposalRow) -> str:
    if made.decision == "accept":
        return "It may be pre-filled."
    return f"A person must decide: {made.why}" if made.why else "A person must decide."


def _percent(share: float) -> str:
    """A probability as a person says it, never quite certain."""
    return "more than 99 %" if share > 0.995 else "less than 1 %" if share < 0.005 else f"{100 * share:.0f} %"
