"""Units that rules are written in, and what they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medloop.errors import InputError, unknown_name

_LENGTH, _AREA, _VOLUME, _PLAIN = "a length", "an area", "a volume", "a number without unit"
_PIXELS = {"px": "a length in pixels", "px2": "a number of pixels", "px3": "a number of voxels"}
UNITS: Mapping[str, tuple[str, float]] = {
    "": (_PLAIN, 1.0),
    **{name: (kind, 1.0) for name, kind in _PIXELS.items()},
    "um": (_LENGTH, 1e-3),
    "mm": (_LENGTH, 1.0),
    "cm": (_LENGTH, 10.0),
    "um2": (_AREA, 1e-6),
    "mm2": (_AREA, 1.0),
    "cm2": (_AREA, 100.0),
    "mm3": (_VOLUME, 1e-3),
    "cm3": (_VOLUME, 1.0),
    "ml": (_VOLUME, 1.0),
    "l": (_VOLUME, 1000.0),
}
"""What each is of, and how many mm, mm2 or ml it is."""
_SPELLED = {"µm": "um", "mm²": "mm2", "cm²": "cm2", "mm³": "mm3", "cm³": "cm3", "µm²": "um2", "mL": "ml", "cc": "cm3"}


def unit(name: str) -> str:
    """The unit as it is written here. Raises `InputError` with the nearest ones for what is none."""
    plain = _SPELLED.get(name, name)
    if plain not in UNITS:
        raise unknown_name("unit", name, [each for each in UNITS if each])
    return plain


def same_kind(first: str, second: str) -> bool:
    """Whether one can be told in the other. Units that are not known here (HU) are equal to themselves alone."""
    if first in UNITS and second in UNITS:
        return UNITS[first][0] == UNITS[second][0]
    return first == second


def factor(old: str, new: str) -> float:
    """How many ``new`` one ``old`` is."""
    return 1.0 if old == new else UNITS[old][1] / UNITS[new][1]


def fitting(measured: str) -> list[str]:
    """The units that something measured in this one can be told in."""
    return [name for name in UNITS if name and same_kind(name, measured)] if measured in UNITS else [measured]


def wrong(rule: str, given: str, measure: str, measured: Sequence[str]) -> InputError:
    """The error for a rule whose unit is not one of what it is about, which comes in one of ``measured``."""
    first = measured[0]
    kind = UNITS[first][0] if first in UNITS else f"in {first}"
    allowed = ", ".join(name for each in measured for name in fitting(each)) or "no unit"
    got = f"gives the unit '{given}'" if given else "gives no unit"
    return InputError(
        "wrong-unit",
        got=f"The rule '{rule}' {got}, but '{measure}' is {kind}.",
        allowed=f"{allowed}.",
        fix=f'Write unit = "{first}".' if first else "Leave the unit out.",
    )
