"""Run commands as a person types them, and what every answer must be like, good or bad."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medloop.cli import main


@dataclass(frozen=True)
class Said:
    """``code`` and what was said. ``words``: everything, for a look at what the message names."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.out)
        return content


class Command:
    """Commands in one workspace. No command may show a traceback or leave a defect file, whatever it is given."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> Said:
        """Run it; the exit code must be ``code``."""
        self._capsys.readouterr()
        got = main([*map(str, words), "--workspace", str(self.home)])
        said = Said(got, *self._capsys.readouterr())
        assert got == code, said
        assert "Traceback" not in said.words
        assert not list(self.home.parent.rglob("medloop-defect-*"))
        assert not list(Path.cwd().glob("medloop-defect-*"))
        return said

    def refused(self, *words: object, code: int, says: str | tuple[str, ...], kind: str | None = None) -> dict[str, str]:
        """Run it in words and as JSON: both must fail with ``code`` and name every one of ``says``."""
        spoken = self(*words, code=code)
        assert spoken.out == ""
        error: dict[str, str] = self(*words, "--json", code=code).json["error"]
        assert set(error) == {"code", "got", "allowed", "fix"}
        assert all(error.values()), error
        for part in (says,) if isinstance(says, str) else says:
            assert part in f"{error['got']} {error['allowed']} {error['fix']}"
            assert part in spoken.err
        if kind is not None:
            assert error["code"] == kind
        return error
