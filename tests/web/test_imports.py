"""The server's first page waits for no library of images, statistics or training: these are loaded when something needs them."""

import subprocess
import sys

_HEAVY = (
    "matplotlib",
    "monai",
    "nibabel",
    "onnxruntime",
    "optuna",
    "pandas",
    "pydicom",
    "scipy",
    "SimpleITK",
    "skimage",
    "sklearn",
    "torch",
)


def _loaded(*modules: str) -> list[str]:
    """The heavy libraries that a fresh process has after importing these."""
    code = f"import sys, {', '.join(modules)}; print(*[name for name in {_HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_the_server_begins_without_heavy_libraries():
    assert _loaded("medloop.loop.serve", "medloop.web.app") == []


def test_a_page_that_imports_a_verb_would_be_seen():
    assert "matplotlib" in _loaded("medloop.web.app", "medloop.reporting.monitor_part")
