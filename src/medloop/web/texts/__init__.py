"""What the pages say, in one catalogue a language (``en.json``, ``zh.json``): a translation is one more file with the same keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language. ``texts("worklist.title", count=3)`` fills the places in braces."""

    language: str
    words: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of that key. Raises `KeyError` for a key that is in no catalogue."""
        return self.words[key].format(**values) if values else self.words[key]

    def maybe(self, prefix: str, name: str) -> str:
        """The text of ``prefix.name``, or the name itself where a department named it and no catalogue can know it."""
        return self.words.get(f"{prefix}.{name}", name)

    def part(self, prefix: str) -> Mapping[str, str]:
        """All texts below a prefix, without it: what a script on the page says."""
        return _part(self.language, prefix)


@cache
def languages() -> dict[str, str]:
    """Code to own name (``en`` to ``English``) of every catalogue."""
    found = sorted(each.name.removesuffix(".json") for each in files(__name__).iterdir() if each.name.endswith(".json"))
    return {code: texts(code)("language.name") for code in [DEFAULT, *(code for code in found if code != DEFAULT)]}


@cache
def texts(language: str) -> Texts:
    """The catalogue of a language."""
    content = files(__name__).joinpath(f"{language}.json").read_text(encoding="utf-8")
    return Texts(language, json.loads(content))


@cache
def _part(language: str, prefix: str) -> dict[str, str]:
    words = texts(language).words
    return {key.removeprefix(f"{prefix}."): text for key, text in words.items() if key.startswith(f"{prefix}.")}


def chosen(wanted: Sequence[str], otherwise: Callable[[], str] = lambda: DEFAULT) -> Texts:
    """The catalogue of the first language wanted that there is (``zh-CN`` takes ``zh``), else of what ``otherwise`` says."""
    known = languages()
    short = (each.strip().lower().replace("_", "-").split("-")[0] for each in wanted)
    found = next((code for code in short if code in known), None) or otherwise()
    return texts(found if found in known else DEFAULT)
