"""The intake report: what is in this data, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medloop.reporting import growth, render
from medloop.reporting.beware import LEVELS, Notice
from medloop.reporting.parts import Tile
from medloop.reporting.sheets import Picture
from medloop.requests import InspectResult
from medloop.types import Array, Json
from medloop.version import VERSION

PictureOf = Callable[[str], "Array | None"]
"""Name of an image to its picture ``(Y, X, 3)`` uint8, None where it cannot be read."""

_EACH_GROUP = 12
_MOST_GROUPS = 12
_SIDE_BY_SIDE = 10
_IN_ONE = 4
_MOST_PATHS = 200
_MOST_ROWS = 500


def inspect_page(result: InspectResult, picture: PictureOf | None = None, groups: Mapping[str, Sequence[str]] | None = None) -> str:
    """One self-contained HTML page. ``groups``: image names of each group found (classes), for the picture sheet."""
    show = picture or (lambda name: None)
    shown = _pages(result, show)
    sheet = _sheet(show, groups or {}) if picture is not None else []
    found: dict[str, Any] = {
        "title": f"What is in {Path(result.source).name or result.source}",
        "kicker": "Intake report of medloop",
        "stamp": None,
        "verdict": _verdict(result),
        "tiles": _tiles(result),
        "result": result,
        "classes": _shares(result.classes),
        "notices": _notices(result),
        "groups": sheet,
        "files_says": f"{result.files} files were found; {result.used} are used; {len(result.rejected)} files are not.",
        "rejected": _by_reason(result.rejected),
        "most_paths": _MOST_PATHS,
        "columns": growth.table(result.columns),
        "further": growth.table(result.further),
        "problems": growth.table(result.label_problems[:_MOST_ROWS]),
        "split": _shares(result.split),
        "facts": [
            (title, _shares(counts)[:15])
            for title, counts in (("Size", result.sizes), ("Spacing", result.spacings), ("Modality", result.modalities))
            if counts
        ],
        "series": growth.table(result.series[:_MOST_ROWS]),
        "leaks": growth.table(result.leaks[:_MOST_ROWS]),
        "shortcuts": growth.table(result.shortcuts),
        "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
        **shown,
    }
    return render.page("inspect.html.j2", found | {"contents": _contents(found)})


def _contents(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = (
        ("groups", "Pictures", found["groups"]),
        ("files", "Files", True),
        ("labels", "Labels", True),
        ("images", "Images", True),
        ("duplicates", "Duplicates", found["duplicates"]),
        ("conflicts", "Conflicts", found["conflicts"]),
        ("leaks", "Leaks", found["leaks"][1]),
        ("shortcuts", "Shortcuts", found["shortcuts"][1]),
        ("text", "Burnt-in text", found["text"]),
    )
    return [(name, title) for name, title, there in sections if there]


def _verdict(result: InspectResult) -> str:
    whom = f" of {result.patients} patients" if result.patients is not None else ""
    if result.classes:
        names = ", ".join(f"‘{name}’" for name in list(result.classes)[:6]) + (", …" if len(result.classes) > 6 else "")
        return f"{result.cases} labelled cases{whom}; what can be learnt is to tell {names} ({result.target})."
    if not result.target:
        return f"{result.cases} images{whom}; no labels were found."
    return f"{result.cases} labelled cases{whom} ({result.target})."


def _tiles(result: InspectResult) -> list[Tile]:
    copies = sum(len(group) - 1 for group in result.duplicates)
    return [
        Tile("Files", str(result.files), "", "found"),
        Tile("Used", str(result.used), "", "images and their labels"),
        Tile("Not used", str(len(result.rejected)), "", "each with its reason below"),
        Tile("Cases", str(result.cases), "", "with a label"),
        Tile("Patients", *(("?", "", "unknown") if result.patients is None else (str(result.patients), "", "in these cases"))),
        Tile("Copies", str(copies), "", f"in {len(result.duplicates)} groups of the same picture"),
    ]  # fmt: skip


def _notices(result: InspectResult) -> list[Notice]:
    into_test = sum("test" in leak.get("splits", ()) for leak in result.leaks)
    mended = len(result.leaks) - into_test
    found = []
    if into_test:
        found.append(Notice("bad", f"{_count(into_test, 'leak')} into the test part: figures on it would flatter any model."))
    if result.conflicts:
        found.append(Notice("bad", f"{_count(len(result.conflicts), 'pair')} of the same picture under different labels."))
    if mended:
        found.append(
            Notice("warn", f"{_count(mended, 'leak')} between training and validation; learning moves the copies to training.")
        )
    found += [Notice("warn", f"Shortcut: {each.get('says', each)}") for each in result.shortcuts]
    if result.duplicates:
        found.append(
            Notice("note", f"{_count(len(result.duplicates), 'group')} of the same picture; each is kept on one side of a split.")
        )
    if result.burnt_in_text:
        found.append(Notice("warn", f"{_count(len(result.burnt_in_text), 'picture')} with likely burnt-in text."))
    if result.label_problems:
        found.append(Notice("warn", f"{_count(len(result.label_problems), 'problem')} with the labels, listed below."))
    found += [
        Notice("warn", f"Only {count} {'case is' if count == 1 else 'cases are'} ‘{name}’.")
        for name, count in result.classes.items()
        if count < 10
    ]
    if result.rejected:
        found.append(Notice("note", f"{_count(len(result.rejected), 'file')} not used."))
    found += [Notice("note", text) for text in result.warnings]
    found.sort(key=lambda notice: LEVELS.index(notice.level))
    return found or [Notice("note", "Nothing was found that needs mending.")]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _by_reason(rejected: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Paths by reason, the commonest reason first."""
    found: dict[str, list[str]] = {}
    for each in rejected:
        found.setdefault(each["reason"], []).append(each["path"])
    return sorted(found.items(), key=lambda pair: -len(pair[1]))


def _shares(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    total = max(1, sum(counts.values()))
    return [(name, count, count / total) for name, count in counts.items()]


def _sheet(show: PictureOf, groups: Mapping[str, Sequence[str]]) -> list[tuple[str, int, list[Picture]]]:
    """Some pictures of each group, evenly spread over its cases."""
    found = []
    for group, names in list(groups.items())[:_MOST_GROUPS]:
        chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), _EACH_GROUP)).astype(np.int64))
        found.append((group, len(names), [_picture(show, names[k], ()) for k in chosen]))
    return found


def _picture(show: PictureOf, name: str, lines: tuple[str, ...]) -> Picture:
    return Picture.of(show(name), name, lines)


def _pages(result: InspectResult, show: PictureOf) -> dict[str, Any]:
    """Duplicates, conflicts and burnt-in text with their pictures."""
    conflicts = [_conflict(show, each) for each in result.conflicts[:_SIDE_BY_SIDE]]
    return {
        "duplicates": [[_picture(show, name, ()) for name in group[:_IN_ONE]] for group in result.duplicates[:_SIDE_BY_SIDE]],
        "more_duplicates": result.duplicates[_SIDE_BY_SIDE : _SIDE_BY_SIDE + _MOST_ROWS],
        "conflicts": conflicts,
        "more_conflicts": growth.table(result.conflicts[_SIDE_BY_SIDE : _SIDE_BY_SIDE + _MOST_ROWS]),
        "text": [_picture(show, name, ()) for name in result.burnt_in_text[:_SIDE_BY_SIDE]],
        "more_text": result.burnt_in_text[_SIDE_BY_SIDE : _SIDE_BY_SIDE + _MOST_ROWS],
    }


def _conflict(show: PictureOf, pair: Mapping[str, Json]) -> list[Picture]:
    labels = list(pair.get("labels", ("", "")))
    return [_picture(show, str(pair[side]), (f"labelled {label}",)) for side, label in zip(("a", "b"), labels, strict=True)]
