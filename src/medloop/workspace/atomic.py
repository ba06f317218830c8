"""Write beside, then rename: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medloop.errors import InputError
from medloop.types import Json

_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG}


def disk_error(error: OSError, path: Path) -> InputError | None:
    """What to do about a full, closed or failing disk at ``path``; None for an error of another kind."""
    why = os.strerror(error.errno or 0).lower()
    if error.errno in _SPACE:
        return InputError(
            "disk-full",
            got=f"No space is left to write {path}.",
            allowed="A disk with room for the workspace.",
            fix="Free some space, or name another place with --workspace DIR. What was finished is kept.",
        )
    if error.errno in _CLOSED:
        return InputError(
            "not-writable",
            got=f"{path} cannot be written ({why}).",
            allowed="A folder you may write to.",
            fix="Name another place with --workspace DIR (or --out).",
        )
    if error.errno == errno.EIO:
        return InputError(
            "disk-failed",
            got=f"The disk failed at {path} ({why}). A full disk may be the cause.",
            allowed="A disk that works and has room for the workspace.",
            fix="Free some space, or name another place with --workspace DIR. What was finished is kept.",
        )
    return None


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a full, closed or failing disk into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if told := disk_error(error, path):
            raise told from error
        raise


def ready_for(path: Path) -> None:
    """Make sure, before hours of work, that ``path`` can be written: its folder is there and open. Raises `InputError`."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        tempfile.TemporaryFile(dir=path.parent).close()


def asked_for(out: str | None) -> Path | None:
    """Where a file that may have been asked for will lie, after `ready_for`; None where none was. Raises `InputError`."""
    if out is None:
        return None
    path = Path(out).absolute()
    ready_for(path)
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Json) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill; it appears at ``path`` when the block ends well, and not at all otherwise. ``path`` must not exist."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            beside.chmod(0o755)
            yield beside
            os.replace(beside, path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
