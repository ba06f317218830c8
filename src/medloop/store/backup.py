"""Backup and restore: database, blobs and models together, taken while the server runs, and checked by their hashes.

A backup's database is always a SQLite file, whatever the store's own is, so a backup also moves a store from one to the other.

```
DIR/backup.json   what is here, with hashes      DIR/loop.sqlite   every row
DIR/blobs/ab/KEY  images, masks, heat maps       DIR/models/NAME/  model versions
```
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError, Refused
from medloop.store import audit, forget
from medloop.store import head as heads
from medloop.store.base import Store, open
from medloop.store.records import now
from medloop.store.tables import accounts, head, metadata, secrets, studies
from medloop.version import VERSION
from medloop.workspace.atomic import explained, write_folder, write_json

_NAME = "backup.json"
_DATABASE = "loop.sqlite"
_MODELS = "models"
_STEP = 1_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Held:
    """What a backup holds. ``head``: the last entry of its audit trail, as ``NUMBER:HASH``."""

    studies: int
    blobs: int
    models: int
    bytes: int
    head: str


def backup(store: Store, folder: Path) -> Held:
    """Write a backup into a new folder, whole or not at all. Readers and writers go on meanwhile. Raises `InputError`."""
    if folder.exists():
        raise InputError(
            "not-new", got=f"{folder} is there already.", allowed="A new folder.", fix="Name another, such as one by date."
        )
    with write_folder(folder) as beside:
        beside.chmod(0o700)  # it holds whom the images are of
        for _ in range(_TRIES):
            _rows_out(store, beside / _DATABASE)
            wanted = _keys_in(beside, store)
            if not (missing := _blobs_out(store, beside, wanted)):
                break
        else:
            raise InputError(
                "missing-blobs",
                got=f"{len(missing)} images of the store are missing, the first is {missing[0]}.",
                allowed="A store whose images are all there.",
                fix="Bring an older backup back, or forget the patients concerned.",
            )
        for path in (beside / "blobs").rglob("*"):
            if path.is_file() and path.name not in wanted:
                path.unlink()  # deleted while an earlier try ran
        _models_out(store, beside)
        held = _held(beside)
        write_json(beside / _NAME, _manifest(beside, held))
        _check(beside)
    return held


def restore(root: Path, folder: Path, database: str | None = None, blobs: str | None = None, actor: str = "restore") -> Held:
    """Bring a backup back into a workspace that has no records yet. All rows come or none.

    Raises `InputError` for a backup that is damaged or newer, `Refused` where there are records already.
    """
    _check(folder)
    store = open(root, database, blobs)
    try:
        _empty(store)
        with TemporaryDirectory(dir=store.root, prefix=".restore.") as beside:
            with explained(store.root):
                shutil.copy(folder / _DATABASE, beside)
            source = open(Path(beside), f"sqlite:///{Path(beside) / _DATABASE}", str(folder / "blobs"))
            try:
                _blobs_back(source, store)
                _models_back(folder, store)
                _rows_back(source, store, actor)
            finally:
                source.close()
        if problems := audit.verify(store):
            raise Refused(
                "broken-trail",
                got="The backup is back, and its audit trail is broken: " + " ".join(problems[:5]),
                allowed="A trail that verifies.",
                fix="Bring an older backup back into another workspace and compare.",
            )
        return _held(folder)
    finally:
        store.close()


def _rows_out(store: Store, path: Path) -> None:
    """All rows as they are at one moment, as a SQLite file."""
    path.unlink(missing_ok=True)
    if not store.postgresql:
        store.run_alone("VACUUM INTO ?", str(path))
        return
    with TemporaryDirectory(dir=path.parent, prefix=".rows.") as beside:
        made = open(Path(beside), f"sqlite:///{path}", str(Path(beside) / "blobs"))
        try:
            with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as rows, rows.begin():
                _copy(rows, made)
            made.run_alone("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            made.close()


def _copy(rows: sa.Connection, store: Store, entry: Any = None) -> None:
    """Every row from one database into another that has none, in one transaction."""
    with store.write() as connection:
        for table in metadata.sorted_tables:
            chosen = rows.execute(sa.select(table).order_by(*table.primary_key).execution_options(yield_per=_STEP)).mappings()
            for lot in chosen.partitions(_STEP):
                connection.execute(sa.insert(table), [dict(row) for row in lot])
            if store.postgresql and "id" in table.c and table is not head:
                wanted = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"
                connection.exec_driver_sql(wanted)
        if entry is not None:
            entry(connection)


def _rows_back(source: Store, store: Store, actor: str) -> None:
    def entry(connection: sa.Connection) -> None:
        connection.execute(sa.delete(secrets).where(secrets.c.kind == "session"))
        audit.append(connection, actor, "restore", "store", {"time": now().isoformat(), "version": VERSION})

    with source.read() as rows:
        _copy(rows, store, entry)


def _keys_in(folder: Path, store: Store) -> set[str]:
    """The keys that a backup's rows name: of images, and of whatever else is kept."""
    engine = sa.create_engine(f"sqlite:///{folder / _DATABASE}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        images = forget.named(connection, tables=forget.IMAGES)
        return images | {key for key in forget.named(connection) - images if store.blobs.has(key)}


def _blobs_out(store: Store, folder: Path, wanted: set[str]) -> list[str]:
    """Copy these blobs; returns those that are not there."""
    missing = []
    for key in sorted(wanted):
        path = folder / "blobs" / key[:2] / key
        if path.exists():
            continue
        try:
            source = store.blobs.local(key)
            with explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
        except (InputError, FileNotFoundError) as error:
            if isinstance(error, InputError) and error.code != "no-such-blob":
                raise
            missing.append(key)
    return missing


def _blobs_back(source: Store, store: Store) -> None:
    for key in source.blobs.every():
        if not store.blobs.has(key):
            store.blobs.put_file(source.blobs.path(key), key[64:])


def _models_out(store: Store, folder: Path) -> None:
    for path in _folders(store.root / _MODELS):
        with explained(folder):
            shutil.copytree(path, folder / _MODELS / path.name)


def _models_back(folder: Path, store: Store) -> None:
    for path in _folders(folder / _MODELS):
        if not (store.root / _MODELS / path.name).exists():
            with write_folder(store.root / _MODELS / path.name) as beside:
                shutil.copytree(path, beside, dirs_exist_ok=True)


def _folders(path: Path) -> list[Path]:
    """The finished folders in a folder; drafts begin with a dot."""
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")) if path.is_dir() else []


def _files(folder: Path) -> Iterator[Path]:
    """Every file of a backup but its list."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and path.relative_to(folder).as_posix() != _NAME)


def _held(folder: Path) -> Held:
    engine = sa.create_engine(f"sqlite:///{folder / _DATABASE}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        last = connection.execute(sa.select(head.c.number, head.c.hash)).one_or_none() or (0, heads.START)
        count = int(connection.scalar(sa.select(sa.func.count()).select_from(studies)) or 0)
    sizes = [path.stat().st_size for path in _files(folder)]
    blobs = sum(1 for path in (folder / "blobs").rglob("*") if path.is_file())
    return Held(count, blobs, len(_folders(folder / _MODELS)), sum(sizes), f"{last[0]}:{last[1]}")


def _manifest(folder: Path, held: Held) -> dict[str, Any]:
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    return {"version": VERSION, "time": now().isoformat(timespec="seconds"), "head": held.head, "files": files}


def _check(folder: Path) -> None:
    """Raises `InputError` where a file of the backup is missing, changed or too many."""
    try:
        files = dict(json.loads((folder / _NAME).read_text("utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "no-backup", got=f"{folder} is no backup.", allowed="A folder that medloop backup wrote.", fix="Name that folder."
        ) from error
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    wrong = sorted(files.keys() ^ there.keys())
    if wrong := wrong or [name for name, path in there.items() if _digest(path) != files[name]]:
        raise InputError(
            "damaged-backup",
            got=f"{len(wrong)} files of the backup are missing, changed or too many; the first is {wrong[0]}.",
            allowed="A backup as it was written.",
            fix="Use another backup.",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _empty(store: Store) -> None:
    with store.read() as connection:
        used = any(connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in (studies, accounts))
    if used or audit.last(store)[0]:
        raise Refused(
            "not-empty",
            got="There are records in this workspace or database already.",
            allowed="A workspace and database without records.",
            fix="Name another --workspace DIR (and --database), or move the old one away first.",
        )
