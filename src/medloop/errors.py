"""Errors that a person can act on: what was got, what is allowed, how to mend it. Never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedloopError(Exception):
    """An error told to the person: ``code`` is stable, ``got`` what was found, ``allowed`` what is, ``fix`` the way out."""

    exit_code = 1

    def __init__(self, code: str, *, got: str, allowed: str, fix: str) -> None:
        super().__init__(f"{got} Allowed: {allowed} {fix}")
        self.code = code
        self.got = got
        self.allowed = allowed
        self.fix = fix

    def to_json(self) -> dict[str, dict[str, str]]:
        """The error as every surface prints it."""
        return {"error": {"code": self.code, "got": self.got, "allowed": self.allowed, "fix": self.fix}}

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders whole."""
        return (_rebuild, (type(self), self.code, self.got, self.allowed, self.fix))


def _rebuild(kind: type[MedloopError], code: str, got: str, allowed: str, fix: str) -> MedloopError:
    return kind(code, got=got, allowed=allowed, fix=fix)


class InputError(MedloopError):
    """The input or the flags are wrong (exit 2)."""

    exit_code = 2


class Refused(MedloopError):
    """Refused on purpose: a leak, a gate not passed, too few examples (exit 3)."""

    exit_code = 3


_MUCH = 0.25


class Unreadable(Exception):
    """One file or image cannot be used; ``str(error)`` is the reason shown beside its path. The rest goes on."""


def _nearest(name: str, names: list[str]) -> list[str]:
    """Three names at most that are like this one, none much less so than the first."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    alike = [difflib.SequenceMatcher(None, each, name).ratio() for each in near]
    return [each for each, ratio in zip(near, alike, strict=True) if ratio > alike[0] - _MUCH]


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a misspelt name that offers the nearest ones."""
    names = sorted(known)
    near = _nearest(name, names)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose one of: {', '.join(names)}."
    code = f"unknown-{what.replace(' ', '-')}"
    return InputError(code, got=f"There is no {what} named '{name}'.", allowed=", ".join(names) + ".", fix=hint)
