"""What the values of masks mean: ``128=cytoplasm,255=nucleus``, ``#ff0000=tumour``, a table of value and name, or the values
themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medloop.errors import InputError
from medloop.labels import _sheet
from medloop.labels._columns import plain
from medloop.readers.labelmap import OUTSIDE, named, value_of
from medloop.types import UNKNOWN, Target, TargetKind

_BACKGROUND = ("background", "nothing", "other", "others", "none")
_IGNORED = ("ignore", "ignored", "unknown", "unlabelled", "void")
_COLOUR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)
_MOST = 64
_MOST_CLASSES = UNKNOWN - 1


@dataclass(frozen=True, slots=True)
class Meanings:
    """``of``: the name of each value; 0 is nothing unless named. ``rest``: that of all other values, None where they have none."""

    of: Mapping[int, str]
    rest: str | None = None


def parse(text: str) -> Meanings:
    """The meanings in ``--mask-classes``. Raises `InputError` for what is none."""
    path = Path(text).expanduser()
    if path.suffix.lower() in _sheet.TABLES and "=" not in text:
        return _meanings(_table(path), text)
    pairs = []
    for part in text.split(","):
        value, mark, name = part.partition("=")
        if not mark or not value.strip() or not name.strip():
            raise _wrong(f"'{part.strip()}' in --mask-classes is not VALUE=NAME.")
        pairs.append((value.strip(), name.strip()))
    return _meanings(pairs, text)


def _meanings(pairs: Iterable[tuple[str, str]], text: str) -> Meanings:
    found: dict[int, str] = {}
    rest = None
    for value, name in pairs:
        if value == "*":
            rest = name
            continue
        number = _value(value)
        if found.setdefault(number, name) != name:
            raise _wrong(f"--mask-classes names {value} twice: '{found[number]}' and '{name}'.")
    if not _classes(Meanings(found, rest)):
        raise _wrong(f"--mask-classes '{text}' names no class.")
    return Meanings(found, rest)


def _value(text: str) -> int:
    if colour := _COLOUR.fullmatch(text):
        red, green, blue = (int(part, 16) for part in colour.groups())
        return value_of((red, green, blue))
    if not re.fullmatch(r"\d{1,7}", text):
        raise _wrong(f"'{text}' in --mask-classes is no value.")
    return int(text)


def _table(path: Path) -> list[tuple[str, str]]:
    """Pairs of a table with the columns value and name, or of its first two columns."""
    sheet = _sheet.read(path)
    columns = {plain(name): name for name in sheet.columns}
    value = next((columns[key] for key in ("value", "label", "id", "index") if key in columns), sheet.columns[0])
    name = next((columns[key] for key in ("name", "class", "class_name", "meaning") if key in columns), sheet.columns[-1])
    if value == name:
        raise _wrong(f"{path.name} has no columns 'value' and 'name'.")
    return [pair for pair in zip(sheet.column(value), sheet.column(name), strict=True) if all(pair)]


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-mask-classes",
        got=got,
        allowed="VALUE=NAME with commas between; a value is a whole number, a colour as #ff0000, or * for all others; the names "
        "'background' and 'ignore' make no class.",
        fix="Write --mask-classes 128=cytoplasm,255=nucleus.",
    )


def is_class(name: str) -> bool:
    """Whether a name is that of a class, not of what is nothing or not known."""
    return name.casefold() not in (*_BACKGROUND, *_IGNORED)


def _classes(meanings: Meanings) -> tuple[str, ...]:
    """Names in the order given, without those that make no class."""
    names = [*meanings.of.values(), *([meanings.rest] if meanings.rest else [])]
    return tuple(dict.fromkeys(name for name in names if is_class(name)))


def by_themselves(values: Iterable[int]) -> Meanings:
    """Each value but 0 its own class. Raises `InputError` for too many, as in a picture that is no mask."""
    kept = sorted(value for value in values if value > 0)
    if len(kept) > _MOST:
        raise InputError(
            "mask-values",
            got=f"The masks hold {len(kept)} different values: {', '.join(map(named, kept[:8]))}, ...",
            allowed=f"Up to {_MOST} values where they are not named; JPEG blurs values, so masks are PNG, BMP, TIFF or NIfTI.",
            fix="Check --masks, or name the values with --mask-classes 1=liver,2=tumour,*=background.",
        )
    return Meanings({value: named(value) for value in kept})


def target_of(meanings: Meanings) -> Target:
    """The target of masks with these classes."""
    classes = _classes(meanings)
    if len(classes) > _MOST_CLASSES:
        raise _wrong(f"--mask-classes names {len(classes)} classes; {_MOST_CLASSES} is the limit.")
    return Target(TargetKind.MASKS, classes, name="masks")


def lookup(meanings: Meanings, values: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """`Truth.lookup` for all these values, 0 and what lies outside; a value without meaning is unknown."""
    classes = _classes(meanings)
    found = {0: 0, OUTSIDE: UNKNOWN}
    for value in sorted({*values, *meanings.of}):
        name = meanings.of.get(value, meanings.rest)
        if value == 0 and 0 not in meanings.of:
            continue
        if value == OUTSIDE:
            continue
        if name is None or name.casefold() in _IGNORED:
            found[value] = UNKNOWN
        else:
            found[value] = 0 if name.casefold() in _BACKGROUND else classes.index(name) + 1
    return tuple(sorted(found.items()))


def nameless(meanings: Meanings, values: Iterable[int]) -> list[int]:
    """Those of the values that have no meaning."""
    if meanings.rest is not None:
        return []
    return sorted(value for value in values if value > 0 and value not in meanings.of)
