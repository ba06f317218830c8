"""The versions that a run records."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

from medloop.version import VERSION

LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "optuna", "opencv-python-headless", "scikit-image", "SimpleITK", "pandas", "pydicom",
    "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm", "nibabel", "Pillow", "tifffile", "onnx", "onnxruntime",
    "torch", "torchvision", "timm", "lightning-fabric", "safetensors", "tyro", "pydantic", "Jinja2", "matplotlib",
)  # fmt: skip
"""What medloop computes with."""


@cache
def versions() -> dict[str, str]:
    """Versions of medloop, Python and the libraries; ``missing`` for one that is not installed."""
    return {"medloop": VERSION, "python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
