"""A table understood, and how that is told to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medloop.labels._columns import Profile
from medloop.labels._layout import USABLE, Layout
from medloop.labels._matching import WAYS, Match
from medloop.labels._sheet import Sheet
from medloop.types import Case, TargetKind

ACQUISITION = ("view", "view_position", "frontal_lateral", "ap_pa", "laterality", "modality", "body_part", "projection")
"""Columns of how the picture was taken: never labels."""
SCORING = ("score_weight", "validation_weight")
"""Columns by which a challenge weighs its answers: never labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A table understood: which column names the images, its cells (``named``) and their matches, what the other columns are.

    ``priors``: the images of earlier studies that a column names, row by row; empty without such a column.
    """

    sheet: Sheet
    identity: str
    named: tuple[str, ...]
    matches: list[Match]
    roles: dict[str, str]
    profiles: dict[str, Profile]
    layout: Layout
    priors: tuple[Match | None, ...] = ()


def sentence(reading: Reading, cases: Sequence[Case]) -> str:
    """How the table was read, for a person."""
    sheet, target = reading.sheet, reading.layout.target
    ways = Counter(match.way for match in reading.matches if match.found)
    kinds = {TargetKind.NUMBER: "", TargetKind.MEASURES: "", TargetKind.BINARY: ": two classes"}
    kind = kinds.get(target.kind, f": {len(target.classes)} classes ({target.kind})")
    parts = [
        f"Table {sheet.path.name} ({sheet.says}): {reading.layout.says}{kind}.",
        f"Images are named by column '{reading.identity}' ({', '.join(WAYS[way] for way in ways)}).",
    ]
    several = sum(1 for match in reading.matches if len(match.found) > 1 and not match.ambiguous)
    if several:
        parts.append(f"{several} rows mean several images each: every image got the label, and they stay together.")
    roles = {role: name for name, role in reading.roles.items()}
    if name := roles.get("patient") or roles.get("group"):
        parts.append(f"Cases with the same '{name}' stay together.")
    elif any(case.patient for case in cases):
        parts.append("Patients are known from the files' headers or folders.")
    return " ".join(parts)


def columns(reading: Reading) -> list[dict[str, str]]:
    """How each column was read, and why."""
    read = []
    for name in reading.sheet.columns:
        if name == reading.identity:
            hits = sum(1 for match in reading.matches if match.found)
            read_as, because = "image", f"{hits} of {len(reading.matches)} cells name images"
        elif name in reading.layout.columns:
            read_as, because = "label", reading.layout.because
        elif name in reading.roles:
            read_as, because = _read_as(reading.roles[name]), "its name says so, and its cells agree"
        else:
            each = reading.profiles[name]
            learn = f"; --label-columns '{name}' learns it instead" if each.holds in USABLE else ""
            read_as, because = "not used", f"{each.because}{learn}"
        read.append({"column": name, "read_as": read_as, "because": because})
    return read


def _read_as(role: str) -> str:
    if role in ACQUISITION:
        return "not used (acquisition)"
    if role in SCORING:
        return "not used (scoring of a challenge)"
    return {
        "group": "group (kept together)",
        "patient": "patient (kept together)",
        "split": "given split",
        "prior": "earlier study",
    }.get(role, role)
