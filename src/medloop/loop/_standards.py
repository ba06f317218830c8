"""Labels in several standards at once, by a mapping file from the project's classes to codes.

    [classes.pneumonia]
    snomed = "233604007"
    icd10 = "J18.9"
    radlex = "RID5350"

    [[codes]]                       # a code that medloop's own list lacks, with its name
    standard = "icd10"
    code = "J15.9"
    name = "Bacterial pneumonia, unspecified"

Every code is checked for its form and must be in the list (`medloop.loop._codes`) or named under ``codes``: a slip of the finger in
a code is another disease.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medloop.errors import InputError, unknown_name
from medloop.loop._codes import BIRADS, CODES, ICD10, RADLEX, SNOMED, STANDARDS
from medloop.types import Json

_FORMS = {
    SNOMED: (r"[1-9]\d{5,17}", "6 to 18 digits with the check digit at the end"),
    ICD10: (r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?", "a letter, two digits, and perhaps more after a dot, such as J18.9"),
    RADLEX: (r"RID\d{1,6}", "RID and a number, such as RID5350"),
    BIRADS: (r"[0-6]|4[ABC]", "0 to 6, or 4A, 4B, 4C"),
}
_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6), (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1), (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4), (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
"""How digits are multiplied in the group of the turns of a pentagon (Verhoeff 1969)."""
_SHUFFLE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


@dataclass(frozen=True, slots=True)
class Code:
    """One class said in one standard."""

    class_: str
    standard: str
    code: str
    name: str

    def to_json(self) -> dict[str, str]:
        """As a proposal keeps it."""
        return {"class": self.class_, "standard": self.standard, "code": self.code, "name": self.name}


@dataclass(frozen=True, slots=True)
class Standards:
    """Codes by class, in the order of the file."""

    codes: Mapping[str, tuple[Code, ...]] = field(default_factory=dict)

    def of(self, classes: Sequence[str]) -> list[dict[str, str]]:
        """The codes of these classes, as a proposal keeps them."""
        return [code.to_json() for name in classes for code in self.codes.get(name, ())]

    def checked(self, classes: Collection[str]) -> Standards:
        """The same, if every class that it names is one of the model's. Raises `InputError`."""
        for name in self.codes:
            if name not in classes:
                raise unknown_name("class", name, classes)
        return self


NONE = Standards()


def mapping_of(said: str | None) -> Standards:
    """A mapping from a TOML file, or from the TOML itself. Raises `InputError` with what is wrong and what was likely meant."""
    if said is None or not said.strip():
        return NONE
    text = said if "\n" in said or "[" in said else _read(Path(said).expanduser())
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"The mapping is not TOML: {error}.") from error
    if odd := set(content) - {"classes", "codes"}:
        raise unknown_name("table of the mapping", sorted(odd)[0], ("classes", "codes"))
    known = _known(content.get("codes", []))
    classes = content.get("classes", {})
    if not isinstance(classes, dict) or not all(isinstance(each, dict) for each in classes.values()):
        raise _bad("The mapping's classes are not tables.")
    return Standards({name: tuple(_code(name, key, code, known) for key, code in said.items()) for name, said in classes.items()})


def check_digit(code: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier is the one that its other digits call for (Verhoeff's scheme)."""
    found = 0
    for place, letter in enumerate(reversed(code)):
        digit = int(letter)
        for _ in range(place % 8):
            digit = _SHUFFLE[digit]
        found = _TURNS[found][digit]
    return found == 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(
            "bad-mapping", got=f"The mapping {path} cannot be read.", allowed="A TOML file.", fix="Check the path."
        ) from error


def _known(extra: Json) -> dict[str, dict[str, str]]:
    """The codes of the list, and those that the file adds by name."""
    known = {standard: dict(codes) for standard, codes in CODES.items()}
    if not isinstance(extra, list):
        raise _bad("The mapping's codes are not a list of tables.")
    for each in extra:
        if not isinstance(each, dict) or set(each) != {"standard", "code", "name"} or not str(each["name"]).strip():
            raise _bad("A table [[codes]] of the mapping lacks standard, code or name, or has more.")
        standard = _standard(str(each["standard"]))
        known[standard][_formed(standard, each["code"], "codes")] = str(each["name"])
    return known


def _code(class_: str, key: str, code: Json, known: Mapping[str, Mapping[str, str]]) -> Code:
    standard = _standard(key)
    text = _formed(standard, code, class_)
    if text not in known[standard]:
        near = difflib.get_close_matches(text, known[standard], n=3, cutoff=0.6)
        alike = difflib.get_close_matches(class_.lower(), [name.lower() for name in known[standard].values()], n=2, cutoff=0.5)
        near += [each for each, name in known[standard].items() if name.lower() in alike and each not in near]
        hint = "; ".join(f"{each} ({known[standard][each]})" for each in near[:4])
        raise InputError(
            "unknown-code",
            got=f"{standard} {text} of the class '{class_}' is not among the codes that are known.",
            allowed="The codes of docs/reference/standards.md, and those that the mapping names under [[codes]].",
            fix=f"Did you mean {hint}? " if hint else f'If it is right, add [[codes]] with standard = "{key}", code and name.',
        )
    return Code(class_, standard, text, known[standard][text])


def _standard(key: str) -> str:
    if key not in STANDARDS:
        raise unknown_name("standard", key, STANDARDS)
    return STANDARDS[key]


def _formed(standard: str, code: Json, where: str) -> str:
    pattern, says = _FORMS[standard]
    text = str(code).strip() if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
    if re.fullmatch(pattern, text) is None or (standard == SNOMED and not check_digit(text)):
        raise InputError(
            "bad-code",
            got=f"{code!r} of '{where}' is no code of {standard}.",
            allowed=f"{says[0].upper()}{says[1:]}.",
            fix="Look the code up again and mend the mapping.",
        )
    return text


def _bad(got: str) -> InputError:
    return InputError(
        "bad-mapping",
        got=got,
        allowed='Tables [classes.NAME] with snomed, icd10, radlex, birads = "CODE"; tables [[codes]] with standard, code, name.',
        fix="Mend the mapping; docs/reference/standards.md has an example.",
    )
