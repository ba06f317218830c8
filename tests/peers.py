"""Programs of the system that some tests talk to."""

from __future__ import annotations

import os
import shutil

import pytest


def peer(name: str) -> str:
    """The path of a program; the test skips where it is missing, and fails where CI should have it."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing, and CI must have it")
        pytest.skip(f"needs {name} on this machine")
    return path
