"""The header scan of one file: which reader takes it, and what that reader finds. Runs in worker processes."""

from __future__ import annotations

import json
from pathlib import Path

from medloop import registry
from medloop.errors import Unreadable

HEAD_BYTES = 1 << 15
"""Bytes read of every file to know its kind; most DICOM headers are no longer."""
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
_TEXTS = (".txt", ".md", ".json", ".xml", ".html", ".htm", ".yaml", ".yml", ".toml", ".log", ".py", ".pdf", ".doc", ".docx", ".rtf")
_KINDS = {
    ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage", ".mhd": "MetaImage", ".gif": "GIF", ".webp": "WebP", ".svg": "SVG",
    ".hdr": "Analyze", ".img": "Analyze", ".mgz": "FreeSurfer", ".mgh": "FreeSurfer", ".svs": "whole-slide",
    ".jp2": "JPEG 2000", ".heic": "HEIC", ".npy": "NumPy array", ".mat": "MATLAB", ".h5": "HDF5", ".mp4": "video", ".avi": "video",
}  # fmt: skip
_NAMED = {
    ".dcm": "dicom", ".dicom": "dicom", ".ima": "dicom", ".png": "raster", ".jpg": "raster", ".jpeg": "raster", ".bmp": "raster",
    ".tif": "raster", ".tiff": "raster", ".npz": "npz",
}  # fmt: skip


def version() -> str:
    """Names the scanning code; scans of other versions are not used again."""
    return ",".join(f"{name}={registry.load('readers', name).VERSION}" for name in registry.names("readers"))


def scan(path: str) -> tuple[str, str]:
    """``(reader, JSON of what was found)``, or ``("", reason)`` for a file that no reader can use."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
        name = _reader_of(Path(path), head)
        return name, json.dumps(registry.load("readers", name).scan(Path(path), head), separators=(",", ":"))
    except Unreadable as error:
        return "", str(error)
    except PermissionError:
        return "", "it cannot be opened (no permission)"
    except FileNotFoundError:
        return "", "it was removed while the folder was being read"
    except OSError as error:
        return "", f"it cannot be read from the disk: {error.strerror or error}"


def _reader_of(path: Path, head: bytes) -> str:
    """The reader that claims the file by its first bytes; the one that its name hints at is asked first. Raises `Unreadable`."""
    if not head:
        raise Unreadable("the file is empty (0 bytes)")
    suffix = path.suffix.lower()
    hint = _NAMED.get(suffix, "dicom")
    for name in sorted(registry.names("readers"), key=lambda name: name != hint):
        if registry.load("readers", name).claims(head, path):
            return name
    if suffix in _NAMED:
        kind = _NAMED[suffix]
        what = "DICOM" if kind == "dicom" else suffix.lstrip(".").upper()
        seems = "it is a text file" if _is_text(head) else "its header is not that of such a file"
        raise Unreadable(f"named like {what}, but {seems}")
    raise Unreadable(_why_not(suffix, head))


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)


def _why_not(suffix: str, head: bytes) -> str:
    if suffix in _KINDS:
        return f"{_KINDS[suffix]} files are not read; convert it to DICOM, NIfTI, PNG, JPEG, TIFF or BMP"
    if suffix in _ARCHIVES or head[:2] == b"PK":
        return "an archive; unpack it first"
    if suffix in _TEXTS or _is_text(head):
        return "a text or document, not an image"
    return "not an image that can be read (DICOM, NIfTI, PNG, JPEG, TIFF, BMP, .npz)"
