"""``python -m bench`` lists the benchmarks; ``python -m bench NAME [--json]`` runs one and keeps its rows.

A benchmark is a module ``bench/NAME.py`` with a docstring and a function ``rows() -> Iterable[Row]``; rows are kept as they come.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from bench.core import Row, Skipped, keep

_NOT_BENCHES = {"core", "__main__"}


def _names() -> list[str]:
    here = Path(__file__).parent
    found = (info.name for info in pkgutil.iter_modules([str(here)]))
    return sorted(name for name in found if name not in _NOT_BENCHES and not name.startswith("_"))


def _about(name: str) -> str:
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").splitlines()[0]


def main() -> int:
    """List or run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=_names())
    parser.add_argument("--json", action="store_true", help="print one JSON object with the rows")
    flags = parser.parse_args()
    if flags.name is None:
        for name in _names():
            print(f"{name:16} {_about(name)}")
        return 0
    rows: list[Row] = []
    try:
        for row in importlib.import_module(f"bench.{flags.name}").rows():
            keep(flags.name, [row])
            rows.append(row)
            print(_told(row), file=sys.stderr if flags.json else sys.stdout, flush=True)
    except Skipped as reason:
        print(f"{flags.name} skipped: {reason}", file=sys.stderr)
        return 2
    if flags.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    return 0


def _told(row: Row) -> str:
    beside = "" if row.baseline_figure is None else f"   {row.baseline}: {row.baseline_figure:.4g} {row.unit}"
    times = "" if row.ratio is None else f"   {row.ratio:.2f} times"
    return f"{row.what}: {row.figure:.4g} {row.unit}{beside}{times}   {row.notes}".rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
