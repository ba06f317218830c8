"""Blobs by content: a key is the SHA-256 of the bytes and a suffix that readers may look at. Any fsspec address will do.

A blob is written as a draft and gets its name when it is whole: by a rename in a folder, by a copy inside an object
store, which has no renames and shows an object only when all of it is there. So a name never stands for half a blob.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec

from medloop.errors import InputError
from medloop.workspace.atomic import explained

_KEY = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]{1,8}){0,2}")
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,8}){1,2}$")
_BLOCK = 1 << 20
_DRAFTS = "drafts"
_DAY_S = 86_400.0


class Blobs:
    """Where blobs lie. In a folder they are read in place; from elsewhere each is fetched once into the workspace's cache."""

    def __init__(self, root: Path, url: str | None = None) -> None:
        self.url = url or os.environ.get("MEDLOOP_BLOBS") or str(root / "blobs")
        try:
            # other processes write there too: what was listed once says nothing about now
            fs, base = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise _unusable(f"{self.url.split(':')[0]}:// needs a package: {error}", f"{error}, beside medloop.") from error
        except (ValueError, OSError) as error:
            raise _unusable(str(error), "Mend --blobs or MEDLOOP_BLOBS, or leave it out to use the workspace's own.") from error
        self._fs: Any = fs
        self._base = str(base).rstrip("/")
        self._here = "file" in (fs.protocol if isinstance(fs.protocol, (tuple, list)) else (fs.protocol,))
        self._folder = Path(self._base) if self._here else root / "cache" / "blobs"

    def put(self, content: bytes, suffix: str = "") -> str:
        """Keep these bytes; returns their key. ``suffix``: such as ``.nii.gz``; anything odd is left out."""
        key = hashlib.sha256(content).hexdigest() + tidy_suffix(suffix)
        if self.has(key):
            return key
        with explained(self._folder):
            with self._beside() as (beside, file):
                file.write(content)
            return self._settle(beside, key)

    def put_file(self, path: Path, suffix: str | None = None) -> str:
        """Keep a file's content, block by block, hashed as it is copied; returns its key. ``suffix`` None: the file's own."""
        ending = tidy_suffix(path.name if suffix is None else suffix)
        with explained(self._folder), path.open("rb") as source:
            digest = hashlib.sha256()
            with self._beside() as (beside, file):
                while block := source.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
            return self._settle(beside, digest.hexdigest() + ending)

    def has(self, key: str) -> bool:
        """Whether these bytes are kept."""
        return bool(self._fs.exists(self._place(key)))

    def path(self, key: str) -> Path:
        """Where `local` puts the blob, without fetching it."""
        return self._folder / _checked(key)[:2] / key

    def local(self, key: str) -> Path:
        """The blob as a file on this machine. Raises `InputError` where it is not kept."""
        path = self.path(key)
        if not path.exists():
            if self._here or not self.has(key):
                raise _missing(key)
            with explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                beside = path.with_name(f".{key}.{secrets.token_hex(4)}")
                self._fs.get_file(self._place(key), str(beside))
                os.replace(beside, path)
        return path

    def get(self, key: str) -> bytes:
        """The bytes. Raises `InputError` where they are not kept."""
        return self.local(key).read_bytes()

    def key_of(self, path: str) -> str | None:
        """The key of a file that `path` or `local` named; None for any other file."""
        name = os.path.basename(path)
        return name if _KEY.fullmatch(name) and os.path.normpath(path) == str(self.path(name)) else None

    def delete(self, key: str) -> None:
        """Forget these bytes. It is no error where they are not kept."""
        self.path(key).unlink(missing_ok=True)
        if not self._here and self.has(key):
            self._fs.rm_file(self._place(key))

    def every(self) -> list[str]:
        """Every key that is kept, sorted."""
        names = (os.path.basename(place) for place in self._fs.find(self._base)) if self._fs.exists(self._base) else ()
        return sorted(name for name in names if _KEY.fullmatch(name))

    def sweep(self, older_s: float = _DAY_S) -> int:
        """Remove drafts that were begun so long ago and never got a name, for whoever wrote them was killed; says how many."""
        folder = f"{self._base}/{_DRAFTS}"
        left = self._fs.find(folder) if self._fs.exists(folder) else []
        limit = datetime.now(UTC) - timedelta(seconds=older_s)
        old = [place for place in left if self._begun(place) < limit]
        for place in old:
            self._drop(place)
        return len(old)

    def sound(self, key: str) -> bool:
        """Whether the bytes are those that the key names."""
        with self._fs.open(self._place(key), "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest() == key[:64]

    def _place(self, key: str) -> str:
        return f"{self._base}/{_checked(key)[:2]}/{key}"

    @contextmanager
    def _beside(self) -> Iterator[tuple[str, Any]]:
        """A draft to write, which is removed if that fails, and on this machine is on the disk when the block ends."""
        if self._here:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fs.makedirs(f"{self._base}/{_DRAFTS}", exist_ok=True)
        beside = f"{self._base}/{_DRAFTS}/{secrets.token_hex(16)}"
        try:
            with self._fs.open(beside, "wb") as file:
                yield beside, file
                if self._here:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            self._drop(beside)
            raise

    def _settle(self, beside: str, key: str) -> str:
        """Give a finished draft its name, or drop it where these bytes are kept already."""
        place = self._place(key)
        try:
            if self.has(key):
                self._drop(beside)
            else:
                self._fs.makedirs(os.path.dirname(place), exist_ok=True)
                self._fs.mv(beside, place)
        except BaseException:
            self._drop(beside)
            raise
        return key

    def _begun(self, place: str) -> datetime:
        """When a draft was last written; now where it has got its name meanwhile."""
        try:
            when: datetime = self._fs.modified(place)
        except FileNotFoundError:
            return datetime.now(UTC)
        return when if when.tzinfo else when.replace(tzinfo=UTC)

    def _drop(self, place: str) -> None:
        if self._fs.exists(place):
            self._fs.rm_file(place)


def tidy_suffix(name: str) -> str:
    """The last one or two extensions of a name, in lower case, where they are plain ones; otherwise nothing."""
    low = name.lower()
    found = _SUFFIX.search(low)
    if found is None:
        return ""
    last = low.rsplit(".", 1)[-1]
    return found.group() if last in ("gz", "bz2", "zst") else f".{last}"


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise _missing(key[:80])
    return key


def _unusable(why: str, fix: str) -> InputError:
    return InputError(
        "bad-blobs",
        got=f"The place of blobs cannot be used ({why}).",
        allowed="A folder, or an address that fsspec knows (s3://BUCKET/FOLDER with s3fs installed).",
        fix=fix,
    )


def _missing(key: str) -> InputError:
    return InputError(
        "no-such-blob",
        got=f"There is no blob {key!r}.",
        allowed="The key of a blob in the store.",
        fix="It may have been deleted by the retention rule; medloop doctor tells what is missing.",
    )
