"""Flags to requests: every field of a request class is a flag of the same name, read by tyro."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import re
import typing
from typing import Annotated, Any

import tyro

from medloop import requests
from medloop.errors import InputError

POSITIONAL: dict[str, tuple[str, ...]] = {
    "sample": ("name", "out"),
    "inspect": ("src",),
    "learn": ("src",),
    "evaluate": ("model", "src"),
    "predict": ("model", "src"),
    "compare": ("a", "b"),
    "export": ("run",),
    "ingest": ("src",),
    "audit": ("do",),
    "backup": ("out",),
    "restore": ("src",),
    "forget": ("patient",),
    "simulate": ("src",),
    "promote": ("challenger",),
    "rollback": ("to",),
    "review": ("case",),
}
"""The words of each verb that need no flag, in order."""

_EVERYWHERE = [
    ("workspace", str | None, None, "Where medloop keeps its work (default: medloop-workspace in the current folder)."),
    ("json", bool, False, "Print one JSON object on standard output and nothing else there."),
]
_META: dict[Any, str] = {int: "N", int | None: "N", float: "X"}
_NOISE = ("Parsing error", "Required options", "Missing argument", "Unrecognized options", "For full helptext, run:")


def parse(verb: str, kind: type[Any], words: list[str]) -> tuple[Any, str | None, bool]:
    """The request, the workspace and whether JSON is wanted. Raises `InputError` for wrong flags, `SystemExit` after help."""
    surface = _surface(verb, kind)
    told = io.StringIO()
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    try:
        with contextlib.redirect_stderr(told):
            read = tyro.cli(surface, args=words, prog=f"medloop {verb}", description=kind.__doc__, config=config)
    except SystemExit as stop:
        if not stop.code:
            raise
        got, near = _said(told.getvalue())
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        if got.startswith("Not understood") and "--" not in got:
            hint = "Put a name with blanks in quotation marks. "
        raise InputError("bad-flags", got=got, allowed=_usage(verb, surface), fix=f"{hint}See medloop {verb} --help.") from None
    request = kind(**{item.name: getattr(read, item.name) for item in dataclasses.fields(kind)})
    return request, read.workspace, read.json


def flags(verb: str, kind: type[Any]) -> list[tuple[str, str, str]]:
    """Every flag of a verb as ``(flag, default, help)``; words without a flag come first, in capitals."""
    rows = []
    for item in dataclasses.fields(_surface(verb, kind)):
        about = next(part.help for part in typing.get_args(item.type) if hasattr(part, "help")) or ""
        name = item.name.rstrip("_").replace("_", "-")
        shown = "" if item.default in (None, False, dataclasses.MISSING) else str(item.default)
        rows.append((name.upper() if item.name in POSITIONAL.get(verb, ()) else f"--{name}", shown, about))
    return sorted(rows, key=lambda row: row[0].startswith("--"))


def _surface(verb: str, kind: type[Any]) -> type[Any]:
    """A dataclass for tyro with the fields of the request, positional ones first, and the flags that every verb has."""
    types = typing.get_type_hints(kind)
    about = _field_texts(kind)
    words = POSITIONAL.get(verb, ())
    made: list[tuple[str, Any, Any]] = []
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in [*words, *(name for name in fields if name not in words)]:
        flag = name.rstrip("_").replace("_", "-")
        meta = flag.upper() if name in words else _META.get(types[name], "TEXT")
        shown_as = None if types[name] is bool else meta
        argument = tyro.conf.arg(help=about.get(name, ""), name=flag, metavar=shown_as, help_behavior_hint=_default)
        shown: Any = Annotated[types[name], argument, tyro.conf.Positional] if name in words else Annotated[types[name], argument]
        default = fields[name].default
        made.append((name, shown, dataclasses.field(default=default)))
    for name, type_, default, text in _EVERYWHERE:
        argument = tyro.conf.arg(help=text, metavar=None if type_ is bool else "DIR", help_behavior_hint=_default)
        made.append((name, Annotated[type_, argument], dataclasses.field(default=default)))
    return dataclasses.make_dataclass(kind.__name__, made, kw_only=True)


def _default(default: str) -> str:
    """What the help says of a default; nothing of one that only means: not asked for."""
    return "" if default in ("None", "False", "''", "") else f"(default: {default})"


def _field_texts(kind: type[Any]) -> dict[str, str]:
    """The texts written under the fields of a request class and the classes above it."""
    texts: dict[str, str] = {}
    tree = ast.parse(inspect.getsource(requests))
    above = [each.__name__ for each in kind.__mro__]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in above:
            for item, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(after, ast.Expr):
                    texts[item.target.id] = str(ast.literal_eval(after.value))
    return texts


def _said(box: str) -> tuple[str, list[str]]:
    """What tyro wrote in its box, as one plain sentence, and the flags it thinks were meant."""
    lines = [re.sub(r"[│╭╮╰╯─|+]+|-{4,}", " ", line).strip() for line in box.splitlines()]
    text = " ".join(line for line in lines if line and "--help" not in line and line not in _NOISE)
    text, _, meant = text.partition("Perhaps you meant:")
    text = re.sub(r"^Value error |Argument helptext: .*$", "", text)
    text = re.sub(r"Error parsing (--\S+): .*?(?:from|:) \[('.*?')\].*", r"\1 cannot be \2.", text)
    text = re.sub(r"Missing from medloop \w+: ([A-Z]+) .*", r"\1 is missing.", text)
    text = re.sub(r"Missing value for argument '(\S+)'\..*", r"\1 needs a value.", text)
    text = re.sub(r"Unrecognized options: (.*)", r"Not understood: \1.", text.strip())
    return text.strip() or "The flags cannot be read.", sorted(set(re.findall(r"(?<!\S)--[a-z-]+", meant)))


def _usage(verb: str, surface: type[Any]) -> str:
    words = POSITIONAL.get(verb, ())
    options = [f"--{each.name.rstrip('_').replace('_', '-')}" for each in dataclasses.fields(surface) if each.name not in words]
    return f"medloop {' '.join([verb, *(word.upper() for word in words)])} with {', '.join(options)}."
