"""Which columns of a table are the labels, what kind of target they make, and the label of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medloop.errors import InputError
from medloop.labels import _measures
from medloop.labels._columns import Holds, Profile, number
from medloop.labels._values import class_column, flag_columns, list_column, number_column, one_hot_columns
from medloop.labels._words import LABELS
from medloop.types import LabelValue, Target, TargetKind

UNSAID = ""
"""The value of a label that says nothing of the class."""
USABLE = (Holds.FLAGS, Holds.LISTS, Holds.CLASSES, Holds.NUMBERS)
_SUMS_TO_ONE = 0.99
_MOST_TEXTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """``columns`` hold the label. ``values``: of each row, None where it has none. ``wrong``: (row position, problem) of cells that
    make no sense. ``says``: the layout in a sentence. ``because``: why these columns. ``measured``: the target of columns of
    measures, ``measures`` those of each row.
    """

    target: Target
    columns: tuple[str, ...]
    values: list[LabelValue | None]
    says: str
    because: str
    wrong: list[tuple[int, str]] = field(default_factory=list)
    measured: Target | None = None
    measures: list[tuple[float | None, ...]] = field(default_factory=list)

    def told(self, row: int) -> tuple[LabelValue | None, tuple[float | None, ...]]:
        """All that a row says, for comparison."""
        return self.values[row], self.measures[row] if self.measures else ()


def chosen(free: Sequence[Profile], spare: Sequence[Profile], named: Sequence[str]) -> Layout:
    """The layout of the label columns.

    ``free``: columns that mean nothing else. ``spare``: columns that mean something else (sex, age) but can be a label when nothing
    better is there. ``named``: columns the person named. Raises `InputError` when there is no label column, or several that may be
    it.
    """
    if named:
        by_name = {each.name: each for each in (*free, *spare)}
        return _asked([by_name[name] for name in named])
    usable = [each for each in free if each.holds in USABLE]
    hinted = _without_twins([each for each in free if _hint(each) and (each.holds in USABLE or _few_texts(each))])
    if len(hinted) == 1:
        return _layout(hinted, f"its name says so, and it holds {hinted[0].because}")
    flags = [each for each in usable if each.holds is Holds.FLAGS]
    if len(flags) > 1 and not hinted and (_one_hot(flags) or len(flags) == len(usable)):
        return _layout(flags, "these columns hold only 0 and 1")
    rest = hinted or _without_twins(usable)
    if not rest and len(spare) == 1 and (spare[0].holds in USABLE or _few_texts(spare[0])):
        rest = list(spare)
    if len(rest) == 1:
        return _layout(rest, f"it is the only column that can be a label: {rest[0].because}")
    raise _which(rest, [*free, *spare])


def nothing(rows: int) -> Layout:
    """The layout of a table that tells of patients and groups only."""
    target = Target(TargetKind.MEASURES, name="measures")
    return Layout(target, (), [UNSAID] * rows, "it tells who the images are of", "")


def _asked(columns: Sequence[Profile]) -> Layout:
    """The layout of the columns that a person named: those of numbers are measures, a single one is a number to predict too."""
    because = "named with --label-columns"
    others, measures = _measures.divided(columns)
    if not measures:
        return _layout(columns, because)
    target, rows = _measures.target_of(measures), _measures.rows_of(measures)
    names = tuple(each.name for each in columns)
    if not others and len(measures) == 1 and measures[0].holds is Holds.NUMBERS:
        plain = _layout(measures, because)
        return replace(plain, measured=target, measures=rows)
    wrong = _measures.wrong(measures)
    some = [any(each is not None for each in row) for row in rows]
    if not others:
        values: list[LabelValue | None] = [UNSAID if any_ else None for any_ in some]
        return Layout(target, names, values, _measures.says(target), because, wrong, target, rows)
    plain = _layout(others, because)
    values = [UNSAID if value is None and any_ else value for value, any_ in zip(plain.values, some, strict=True)]
    says = f"{plain.says}; {_measures.says(target)}"
    return Layout(plain.target, names, values, says, because, [*plain.wrong, *wrong], target, rows)


def _hint(each: Profile) -> bool:
    return each.key in LABELS or each.key.endswith(("_label", "_labels", "_class", "_diagnosis", "_target"))


def _few_texts(each: Profile) -> bool:
    return each.holds is Holds.SAME or (each.holds is Holds.TEXT and each.distinct <= _MOST_TEXTS)


def _without_twins(profiles: Sequence[Profile]) -> list[Profile]:
    """Without columns that say the same as an earlier one in other words (``class_id`` beside ``class_name``); names go before
    numbers.
    """
    order = sorted(profiles, key=lambda each: all(number(cell) is not None for cell in each.cells if cell))
    kept: list[Profile] = []
    for each in order:
        if not any(_twins(each, other) for other in kept):
            kept.append(each)
    return [each for each in profiles if each in kept]


def _twins(one: Profile, two: Profile) -> bool:
    if one.distinct != two.distinct or Holds.NUMBERS in (one.holds, two.holds) or Holds.TEXT in (one.holds, two.holds):
        return False
    return len(set(zip(one.cells, two.cells, strict=True)) - {("", "")}) == one.distinct


def _one_hot(flags: Sequence[Profile]) -> bool:
    """Whether nearly every row with a label has exactly one 1."""
    rows = [cells for cells in zip(*(each.cells for each in flags), strict=True) if any(cells)]
    sums = [sum(number(cell) or 0.0 for cell in cells) for cells in rows]
    plain = all((number(cell) or 0.0) >= 0 for cells in rows for cell in cells)
    return plain and len(rows) > 0 and sum(total == 1 for total in sums) >= _SUMS_TO_ONE * len(rows)


def _layout(profiles: Sequence[Profile], because: str) -> Layout:
    """The layout for these label columns by what they hold."""
    if len(profiles) > 1:
        return _many(profiles, because)
    one = profiles[0]
    if one.holds is Holds.LISTS:
        target, values, wrong = list_column(one)
        says = f"column '{one.name}' lists the findings of each image, separated by |"
    elif one.holds is Holds.NUMBERS:
        target, values, wrong = number_column(one)
        says = f"column '{one.name}' is a number to be predicted{f' in {target.unit}' if target.unit else ''}"
    else:
        target, values, wrong = class_column(one)
        says = f"column '{one.name}' is the class, one of {_few(target.classes)}"
    return Layout(target, (one.name,), values, says, because, wrong)


def _many(profiles: Sequence[Profile], because: str) -> Layout:
    names = tuple(each.name for each in profiles)
    wrong_kind = [each for each in profiles if each.holds not in (Holds.FLAGS, Holds.EMPTY)]
    if wrong_kind:
        raise InputError(
            "bad-label-columns",
            got=f"Several label columns are named, but '{wrong_kind[0].name}' holds {wrong_kind[0].because}.",
            allowed="One column of classes or lists, or several that hold 0 and 1; columns of numbers beside them are measures.",
            fix=f"Write --label-columns '{wrong_kind[0].name}' to learn that one alone.",
        )
    if _one_hot(profiles):
        target, values, wrong = one_hot_columns(profiles)
        says = f"one column for each class ({_few(names)}), 1 marks the class of the image"
    else:
        target, values, wrong = flag_columns(profiles)
        says = f"one column for each finding ({_few(names)}), 1 present, 0 absent, blank unknown"
    return Layout(target, names, values, says, because, wrong)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown


def _which(rest: Sequence[Profile], every: Sequence[Profile]) -> InputError:
    if not rest:
        seen = "; ".join(f"'{each.name}': {each.because}" for each in every[:10]) or "there is no other column"
        return InputError(
            "no-label-column",
            got=f"No column of the table looks like a label ({seen}).",
            allowed="A column of classes, of numbers, of lists A|B, or several columns of 0 and 1.",
            fix=f"Name it: --label-columns '{every[0].name}'." if every else "Add a column with the label of each image.",
        )
    told = "; ".join(f"'{each.name}' ({each.because})" for each in rest[:10])
    return InputError(
        "which-label-column",
        got=f"Several columns may be the label: {told}.",
        allowed=f"One of {', '.join(repr(each.name) for each in rest[:20])}; several columns of 0 and 1, or of numbers (measures).",
        fix=f"Say which to learn: --label-columns '{rest[0].name}'.",
    )
