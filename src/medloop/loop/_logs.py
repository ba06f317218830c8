"""Logs as JSON lines on standard error, without patient data.

A line holds only what our own code names: numbers, kinds, codes, routes. Messages of other libraries may carry values (a file's
name, a search in an address), so of a message only its fixed text is written, never what was put into it, and of an error its kind
and places.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

FIELDS = ("method", "route", "status", "ms", "account", "job", "kind", "code", "error", "worker", "port")
"""What a line may say beside its message."""
_OWN = "medloop"


class JsonLines(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """``time``, ``level``, ``logger``, ``message`` and what `FIELDS` the record has."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": str(record.msg),
        }
        said |= {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            said |= _error(record.exc_info[1])
        return json.dumps(said, ensure_ascii=False, default=lambda value: type(value).__name__)


def begin(stream: TextIO | None = None) -> None:
    """Every record of this process from now on, as JSON lines: ours from 'info', others' from 'warning'."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OWN).setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True


def _error(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-8:]]}
