"""Labels in a CSV, TSV or XLSX table: the layout is recognised and stated, rows are matched to images, odd ones reported."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medloop.errors import InputError, unknown_name
from medloop.labels import _measures, _sheet
from medloop.labels._cases import Said, case_of, folder_splits
from medloop.labels._columns import Holds, Profile, age_band, is_split, plain, profile, sex_of
from medloop.labels._companion import companions, joined
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._layout import chosen, nothing
from medloop.labels._matching import SEVERAL, Match, Matcher
from medloop.labels._reading import ACQUISITION, SCORING, Reading, columns, sentence
from medloop.labels._sheet import Sheet
from medloop.labels._words import IDS, ROLES, split_of
from medloop.requests import SourceRequest, listed
from medloop.types import Case, ImageRef, Json, Label, Split

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 20
STRUCTURED = False
EXAMPLE = "a table with a row for each image: --labels labels.csv"
_ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
_NAMED_SO = re.compile(r"label|truth|class|diagnos|target|annotation|metadata|data_entry", re.IGNORECASE)
_SHARE = 0.5
_SAMPLE = 500
_MOST_TABLES = 20


def opens(path: Path) -> bool:
    """Whether the file is a table, by its name."""
    return path.suffix.lower() in _sheet.TABLES


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """Read the table of ``--labels``, or the one table in the folder that matches the images.

    Raises `InputError` for a table that cannot be read, wrong column names, no or several possible label columns, no matching row.
    """
    del using
    matcher = Matcher(collection.refs)
    if request.labels is not None:
        sheet = joined(_with_header(_sheet.read(Path(request.labels).expanduser()), matcher))
        return _labelled(_understood(sheet, matcher, request), collection.refs, "")
    fitting = _fitting(collection.tables, matcher, request)
    if not fitting:
        return None
    if len(fitting) > 1:
        names = ", ".join(str(sheet.path) for sheet in fitting)
        raise InputError(
            "which-table",
            got=f"Several tables fit the images: {names}.",
            allowed="One label table.",
            fix=f"Say which: --labels '{fitting[0].path}'.",
        )
    return _labelled(_understood(fitting[0], matcher, request), collection.refs, " It was found in the folder.")


def about(collection: Collection, request: SourceRequest) -> Labelled | None:
    """What a table without a label column says of patients, groups, splits and sites; None where there is no such table.

    Raises `InputError` as `find`.
    """
    matcher = Matcher(collection.refs)
    if request.labels is not None:
        sheets = [joined(_with_header(_sheet.read(Path(request.labels).expanduser()), matcher))]
    else:
        sheets = _fitting(collection.tables, matcher, request)
    if len(sheets) != 1:
        return None
    reading = _understood(sheets[0], matcher, request, learnt=False)
    return _labelled(reading, collection.refs, "") if reading.roles else None


def _fitting(tables: Sequence[Path], matcher: Matcher, request: SourceRequest) -> list[Sheet]:
    """Tables of the folder in which at least half of the rows name images; of several, those named like a label table.

    A table that only says more of another one's images is none.
    """
    fitting = []
    second = {each for path in tables for each in companions(path)}
    for path in [path for path in tables if path not in second][:_MOST_TABLES]:
        try:
            sheet = joined(_with_header(_sheet.read(path), matcher))
            identity, matches = _identity(sheet, matcher, request)
        except InputError:
            continue
        hits = sum(1 for match in matches if match.found)
        if len(sheet.columns) > 1 and identity and hits >= _SHARE * len(matches):
            fitting.append(sheet)
    named = [sheet for sheet in fitting if _NAMED_SO.search(sheet.path.stem)]
    return named if len(named) == 1 else fitting


def _personal(column: str) -> bool:
    """Whether a column holds patients' IDs, which no message repeats: the row number says enough."""
    return _ROLE_OF.get(plain(column)) == "patient"


def _with_header(sheet: Sheet, matcher: Matcher) -> Sheet:
    """The table, with made-up column names when its first row already names an image."""
    return sheet.headless() if any(matcher.find(name).way in ("path", "stem") for name in sheet.columns) else sheet


def _understood(sheet: Sheet, matcher: Matcher, request: SourceRequest, *, learnt: bool = True) -> Reading:
    """What each column is, and the label of each row (none, where it is not to be ``learnt`` from)."""
    identity, matches = _identity(sheet, matcher, request)
    if not any(match.found for match in matches):
        raise _no_match(sheet, identity)
    named = tuple(_column(sheet, name, "--label-columns") for name in listed(request.label_columns))
    group = _column(sheet, request.group, "--group") if request.group else None
    profiles = {name: profile(name, sheet.column(name)) for name in sheet.columns if name != identity}
    _not_twice(identity, named, group)
    roles = {name: role for name, each in profiles.items() if name not in named and (role := _role(each, matcher))}
    if group is not None and group != identity:
        roles = {name: role for name, role in roles.items() if role != "group"} | {group: _group_role(group, roles)}
    roles = _once(roles)
    spare = [profiles[name] for name, role in roles.items() if role in ("sex", "age", "site", "scanner", "group") and name != group]
    free = [each for name, each in profiles.items() if name not in roles]
    layout = chosen(free, spare, named) if learnt else nothing(len(sheet.rows))
    roles = {name: role for name, role in roles.items() if name not in layout.columns}
    if group == identity:
        roles = roles | {identity: "group"}
    prior = next((name for name, role in roles.items() if role == "prior"), None)
    priors = () if prior is None else tuple(matcher.find(cell) if cell else None for cell in profiles[prior].cells)
    return Reading(sheet, identity, sheet.column(identity), matches, roles, profiles, layout, priors)


def _not_twice(identity: str, named: Sequence[str], group: str | None) -> None:
    """Raise `InputError` when a column is to be the label and something else."""
    twice = next((name for name in named if name in (identity, group)), None)
    if twice is not None:
        raise InputError(
            "bad-label-columns",
            got=f"Column '{twice}' is named as a label, but it {'names the images' if twice == identity else 'is the group'}.",
            allowed="Label columns that mean nothing else.",
            fix="Name another column with --label-columns, or say with --id-column which one names the images.",
        )


def _group_role(group: str, roles: dict[str, str]) -> str:
    return "patient" if roles.get(group) == "patient" else "group"


def _once(roles: dict[str, str]) -> dict[str, str]:
    """Each role once: the first column that has it."""
    seen: set[str] = set()
    return {name: role for name, role in roles.items() if role not in seen and not seen.add(role)}  # type: ignore[func-returns-value]


def _role(each: Profile, matcher: Matcher) -> str | None:
    """What a column means by its name, when its cells agree."""
    if each.key in (*ACQUISITION, *SCORING):
        return each.key
    role = _ROLE_OF.get(each.key)
    if role is None or each.holds is Holds.EMPTY:
        return None
    filled = [cell for cell in each.cells if cell]
    if role == "split":
        return role if is_split(each.cells) else None
    if role == "prior":
        return role if sum(bool(matcher.find(cell).found) for cell in filled) >= _SHARE * len(filled) else None
    if role == "sex":
        return role if sum(sex_of(each.name, cell) is not None for cell in filled) >= 0.9 * len(filled) else None
    if role == "age":
        return role if sum(age_band(cell) is not None for cell in filled) >= 0.9 * len(filled) else None
    return role


def _column(sheet: Sheet, name: str, flag: str) -> str:
    """The column a person means. Raises `InputError` with the nearest names."""
    exact = [each for each in sheet.columns if each == name]
    alike = exact or [each for each in sheet.columns if plain(each) == plain(name)]
    if not alike:
        error = unknown_name("column", name, sheet.columns)
        raise InputError(error.code, got=f"{flag}: {error.got} ({sheet.path.name})", allowed=error.allowed, fix=error.fix)
    return alike[0]


def _identity(sheet: Sheet, matcher: Matcher, request: SourceRequest) -> tuple[str, list[Match]]:
    """The column that names the images (the one that finds most of them), and the matches of its cells."""
    if request.id_column:
        name = _column(sheet, request.id_column, "--id-column")
        return name, matcher.each(sheet.column(name))
    step = max(1, len(sheet.rows) // _SAMPLE)
    likely = [name for name in sheet.columns if any(matcher.find(cell).found for cell in sheet.column(name)[::step])]
    tried = [(name, matcher.each(sheet.column(name))) for name in likely or sheet.columns]
    return max(tried, key=lambda each: _rank(each[0], each[1]))


def _rank(name: str, matches: Sequence[Match]) -> tuple[int, int, int]:
    """Images named one by one go before studies, folders and patients; then the more images, then the likelier name."""
    different = list({id(match): match for match in matches}.values())
    single = {position for match in different if match.way not in SEVERAL for position in match.found}
    hint = len(IDS) - IDS.index(plain(name)) if plain(name) in IDS else 0
    if single:
        return 2, len(single), hint
    several = {position for match in different for position in match.found}
    varied = len(different) >= max(2, len(matches) // 2)
    return int(varied), len(several), hint


def _no_match(sheet: Sheet, identity: str) -> InputError:
    shown = next((f", for example '{cell}'" for cell in sheet.column(identity) if cell), "") if not _personal(identity) else ""
    return InputError(
        "no-match",
        got=f"No row of {sheet.path.name} names an image that was found (column '{identity}'{shown}).",
        allowed="A column with paths, names (with or without extension or leading zeros), DICOM UIDs, folders or patient IDs.",
        fix=f"Name the column with --id-column; the columns are {', '.join(sheet.columns[:20])}.",
    )


def _labelled(reading: Reading, refs: Sequence[ImageRef], aside: str) -> Labelled:
    """Labels of the images that rows name, with every problem."""
    problems = _row_problems(reading, refs)
    rows, disputed = _rows_by_image(reading, refs, problems)
    splits = folder_splits(refs)
    cases: list[Case] = []
    labels: list[Label] = []
    of: list[int] = []
    unlabelled = []
    for position, ref in enumerate(refs):
        row = rows.get(position)
        if row is None:
            unlabelled.append(ref)
            if position not in disputed:
                problems.append(problem(None, ref.name, "no row of the table labels this image"))
            continue
        shared = len(reading.matches[row].found) > 1
        said = _said(reading, row, shared=shared, split=splits[position])
        prior = reading.priors[row] if reading.priors else None
        cases.append(case_of(ref, said if prior is None else replace(said, prior=_prior(prior, refs))))
        labels.append(_label(reading, row, ref))
        of.append(row)
    if not cases:
        raise _none_left(reading, problems)
    measured = reading.layout.measured
    truth = None if measured is None else _measures.truth_of(measured, reading.layout.measures, of)
    problems.sort(key=lambda each: (each["row"] is None, each["row"] or 0))
    return Labelled(
        target=reading.layout.target,
        labels=tuple(labels),
        cases=tuple(cases),
        layout=sentence(reading, cases) + aside,
        columns=columns(reading),
        problems=problems,
        unlabelled=tuple(unlabelled),
        further=() if truth is None else (truth,),
        found=[] if truth is None else _measures.found_of(truth),
    )


def _row_problems(reading: Reading, refs: Sequence[ImageRef]) -> list[dict[str, Json]]:
    """Rows that name no image or several, that have no label, or whose cells are wrong."""
    sheet, wrong, personal = reading.sheet, dict(reading.layout.wrong), _personal(reading.identity)
    found = [problem(number, "", "more cells than the header has columns; the rest is not read") for number in sheet.odd]
    for row, (number, name, match) in enumerate(zip(sheet.numbers, reading.named, reading.matches, strict=True)):
        name = "(patient)" if personal and name else name
        if not name:
            found.append(problem(number, "", f"column '{reading.identity}' is empty"))
        elif not match.found:
            found.append(problem(number, name, "no image has this name"))
        elif match.ambiguous:
            found.append(problem(number, name, _ambiguity([refs[position].name for position in match.found[:9]], len(match.found))))
        elif row in wrong:
            found.append(problem(number, name, wrong[row]))
        elif reading.layout.values[row] is None:
            found.append(problem(number, name, "the label is empty"))
        elif reading.priors and (prior := reading.priors[row]) is not None and _prior(prior, refs) is None:
            found.append(problem(number, name, "its earlier study is no image that was found, or several; it has none"))
    return found


def _ambiguity(names: Sequence[str], count: int) -> str:
    suffix = Path(names[0]).suffix
    kinds = {Path(name).suffix for name in names}
    hint = f"say which are images, as --images '*{suffix}'" if suffix and len(kinds) > 1 else "give more of the path"
    return f"{count} images fit: {', '.join(names[:3])}{', ...' if count > 3 else ''}; {hint}"


def _rows_by_image(reading: Reading, refs: Sequence[ImageRef], problems: list[dict[str, Json]]) -> tuple[dict[int, int], set[int]]:
    """The row that labels each image (by position), and the images that rows contradict each other about. Adds to ``problems``."""
    by_match: dict[int, list[int]] = defaultdict(list)
    for row, (match, value) in enumerate(zip(reading.matches, reading.layout.values, strict=True)):
        if value is not None and match.found and not match.ambiguous:
            by_match[id(match)].append(row)
    meant: dict[int, list[int]] = defaultdict(list)
    disputed: set[int] = set()
    for rows in by_match.values():
        name = "(patient)" if _personal(reading.identity) else reading.named[rows[0]]
        first, found = _agreed(reading, rows, name, problems), reading.matches[rows[0]].found
        if first is None:
            disputed.update(found)
            continue
        for position in found:
            meant[position].append(first)
    agreed = {position: _agreed(reading, rows, refs[position].name, problems) for position, rows in meant.items()}
    disputed |= {position for position, row in agreed.items() if row is None}
    return {position: row for position, row in agreed.items() if row is not None and position not in disputed}, disputed


def _agreed(reading: Reading, rows: Sequence[int], name: str, problems: list[dict[str, Json]]) -> int | None:
    """The first of the rows that name the same, when all give one label; None when they contradict each other. Adds to
    ``problems``.
    """
    numbers, values = reading.sheet.numbers, {row: reading.layout.told(row) for row in rows}
    if all(values[row] == values[rows[0]] for row in rows):
        text = f"repeats row {numbers[rows[0]]} with the same label; used once"
        problems.extend(problem(numbers[row], name, text) for row in rows[1:])
        return rows[0]
    first = next(row for row in rows if values[row] != values[rows[0]])
    text = f"rows {numbers[rows[0]]} and {numbers[first]} give different labels; the image is left out"
    problems.extend(problem(numbers[row], name, text) for row in rows)
    return None


def _said(reading: Reading, row: int, *, shared: bool, split: Split | None) -> Said:
    """What the row says beside the label. A row that means several images keeps them together."""
    own = reading.named[row]
    cells = {role: (name, reading.profiles[name].cells[row]) for name, role in reading.roles.items() if name in reading.profiles}
    said = {role: cell for role, (_, cell) in cells.items() if cell}
    identity_role = _ROLE_OF.get(plain(reading.identity))
    if identity_role in ("patient", "study"):
        said.setdefault(identity_role, own)
    attributes = {
        "sex": sex_of(*cells["sex"]) if "sex" in said else None,
        "age_band": age_band(said["age"]) if "age" in said else None,
        "site": said.get("site"),
        "scanner": said.get("scanner"),
    }
    return Said(
        patient=said.get("patient"),
        group=said.get("group") or (own if shared or reading.roles.get(reading.identity) == "group" else None),
        study=said.get("study"),
        site=said.get("site"),
        split=(split_of(said["split"]) if "split" in said else None) if "split" in cells else split,
        attributes=tuple((name, text) for name, text in attributes.items() if text),
    )


def _prior(match: Match, refs: Sequence[ImageRef]) -> str | None:
    """The name of the one image of an earlier study."""
    return refs[match.found[0]].name if len(match.found) == 1 else None


def _label(reading: Reading, row: int, ref: ImageRef) -> Label:
    value = reading.layout.values[row]
    if value is None:
        raise ValueError("a row without a label labels nothing")
    where = f"{reading.sheet.path.name} row {reading.sheet.numbers[row]}"
    return Label(case=ref.name, value=value, target=reading.layout.target.name, where=where)


def _none_left(reading: Reading, problems: Sequence[dict[str, Json]]) -> InputError:
    first = next(each for each in problems if each["row"] is not None)
    ambiguous = any(match.ambiguous for match in reading.matches)
    images = "Say which files are images with --images, for example --images '*.bmp', or write more of the path into the table."
    return InputError(
        "ambiguous-names" if ambiguous else "no-labels",
        got=f"No image got a label from {reading.sheet.path.name}. Row {first['row']} ('{first['name']}'): {first['problem']}.",
        allowed="Rows that each name one image and hold a label.",
        fix=images if ambiguous else "Fill in the labels, or name the columns.",
    )
