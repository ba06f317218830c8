"""One call of one verb: read its flags, do it, print its result or what went wrong."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medloop import registry
from medloop.cli.flags import parse
from medloop.cli.progress import Bars
from medloop.cli.text import as_text
from medloop.errors import InputError, MedloopError, unknown_name
from medloop.loop._defects import defect
from medloop.requests import VERBS
from medloop.wire import to_json
from medloop.workspace import Workspace
from medloop.workspace.atomic import disk_error

DEFAULT_WORKSPACE = "medloop-workspace"


@dataclass(frozen=True)
class Call:
    """What the words of a command line ask for."""

    verb: str
    request: Any
    workspace: Workspace
    json: bool


def run(words: list[str]) -> int:
    """Do what the words say; the return value is the exit code. Never shows a traceback."""
    wants_json = "--json" in words
    root = Path(DEFAULT_WORKSPACE)
    try:
        call = _understand(words)
        root = call.workspace.root
        if not os.environ.get("MEDLOOP_WARNINGS"):
            warnings.filterwarnings("ignore")
        result = registry.verb(call.verb)(call.workspace, call.request, Bars(sys.stderr))
        print(json.dumps(to_json(result), ensure_ascii=False, allow_nan=False) if call.json else as_text(result))
        sys.stdout.flush()
        return 0
    except SystemExit as stop:  # --help of a verb
        return int(stop.code or 0)
    except MedloopError as error:
        return _failed(error, wants_json)
    except KeyboardInterrupt:
        print("\nStopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _failed(disk_error(error, Path(error.filename or root)) or defect(error, _there(root)), wants_json)
    except Exception as error:
        return _failed(defect(error, _there(root)), wants_json)


def _understand(words: list[str]) -> Call:
    verb = words[0]
    if verb.startswith("-"):
        raise InputError(
            "no-verb",
            got=f"The command begins with {verb}.",
            allowed="medloop VERB [flags].",
            fix="Write the verb first; see medloop --help.",
        )
    if verb not in VERBS:
        raise unknown_name("verb", verb, VERBS)
    request, workspace, as_json = parse(verb, VERBS[verb][1], words[1:])
    return Call(verb, request, Workspace(Path(workspace or DEFAULT_WORKSPACE).absolute()), as_json)


def _failed(error: MedloopError, wants_json: bool) -> int:
    if wants_json:
        print(json.dumps(error.to_json(), ensure_ascii=False))
    else:
        print(f"medloop: {error.got}\n  allowed: {error.allowed}\n  to mend: {error.fix}", file=sys.stderr)
    return error.exit_code


def _there(root: Path) -> Path:
    """The workspace, or the current folder where there is none yet."""
    return root if root.is_dir() else Path.cwd()
