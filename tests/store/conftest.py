"""A fresh store on each database: every test of the store runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from medloop import store as stores
from medloop.store import Store, accounts, head, studies
from medloop.store.records import StudyRow
from medloop.store.tables import metadata
from tests.postgresql import server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[sa.URL]:
    """The address of a PostgreSQL database with the store's tables, for one test at a time."""
    with server() as address:
        stores.open(Path(address.query["host"]) / "first", address.render_as_string()).close()
        yield address


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the store's tables, to be copied."""
    root = tmp_path_factory.mktemp("sqlite")
    stores.open(root, f"sqlite:///{root / 'loop.sqlite'}").close()
    return root / "loop.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database with the store's tables."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite"), tmp_path)
        return f"sqlite:///{tmp_path / 'loop.sqlite'}"
    address = request.getfixturevalue("postgresql")
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        used = " UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in metadata.tables)
        if names := list(connection.scalars(sa.text(used))):
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} CASCADE")
        connection.exec_driver_sql("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
    return str(address.render_as_string())


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    """A fresh store."""
    opened = stores.open(tmp_path, database)
    assert head.read(tmp_path) == (0, head.START)
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store):
    """A function that keeps one more study and gives its number."""

    def add(name: str = "a.png", **more) -> int:
        return studies.add(store, StudyRow(**{"name": name, "content": f"hash of {name}", "state": "ready", **more}), "ada")[0]

    return add


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little, where passwords are not what is tested."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
