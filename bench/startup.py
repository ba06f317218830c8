"""How long ``medloop --help`` takes beside ``python -c pass``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.core import Row, seconds


def rows() -> list[Row]:
    """Best of seven of each."""
    command = Path(sys.executable).with_name("medloop")
    ours = seconds(lambda: subprocess.run([command, "--help"], check=True, capture_output=True), repeat=7)
    bare = seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True), repeat=7)
    return [
        Row(
            what="medloop --help",
            figure=ours,
            unit="s",
            baseline="python -c pass",
            baseline_figure=bare,
            ratio=bare / ours,
            notes="promised: at most 0.5 s",
        )
    ]
