"""Opening, upgrading, and what is said when the database cannot be used."""

import multiprocessing
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from medloop import store as stores
from medloop.errors import InputError
from medloop.store import audit, head, settings, studies
from medloop.store.records import StudyRow
from medloop.store.tables import metadata
from medloop.store.upgrade import version


def _shape(connection):
    """Every table's columns, indexes, unique constraints and foreign keys, as the database tells them."""
    told = sa.inspect(connection)
    return {
        name: (
            [(each["name"], str(each["type"]), each["nullable"]) for each in told.get_columns(name)],
            sorted(str((each["name"], each["column_names"], each["unique"])) for each in told.get_indexes(name)),
            sorted(str((each["name"], each["column_names"])) for each in told.get_unique_constraints(name)),
            sorted(str((each["constrained_columns"], each["referred_table"])) for each in told.get_foreign_keys(name)),
        )
        for name in metadata.tables
    }


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection:sqlalchemy.exc.SAWarning")  # indexes by expressions, on SQLite
def test_the_steps_make_what_the_tables_say(store):
    with store.read() as connection:
        stepped = _shape(connection)
    if store.postgresql:
        with store.engine.connect() as connection, connection.begin() as undone:
            connection.exec_driver_sql("CREATE SCHEMA said")
            connection.exec_driver_sql("SET LOCAL search_path TO said")
            metadata.create_all(connection)
            said = _shape(connection)
            undone.rollback()
    else:
        with sa.create_engine("sqlite://").connect() as connection:
            metadata.create_all(connection)
            said = _shape(connection)
    assert stepped == said


def test_indexes_by_expression_are_the_same(store):
    if store.postgresql:
        pytest.skip("seen by reflection there")
    wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    with store.read() as connection, sa.create_engine("sqlite://").connect() as other:
        metadata.create_all(other)
        assert connection.exec_driver_sql(wanted).all() == other.exec_driver_sql(wanted).all()


def test_opening_again_changes_nothing(store, database):
    settings.put(store, {"readers": 2}, "ada")
    again = stores.open(store.root, database)
    assert settings.get(again, "readers") == 2
    assert audit.verify(again) == []
    again.close()


def test_a_database_of_a_newer_version_is_refused_untouched(store, database):
    with store.write() as connection:
        before = version(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError) as refused:
        stores.open(store.root, database)
    assert refused.value.code == "newer-database"
    with store.write() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{before}'")


def _add(root, database, name):
    opened = stores.open(Path(root), database)
    for number in range(5):
        studies.add(opened, StudyRow(name=f"{name}-{number}", content=f"{name}-{number}"), name)
    opened.close()


def test_processes_that_begin_at_once_share_one_database(tmp_path):
    """All make the database; none sees half of it, and no entry of the trail is lost."""
    database = f"sqlite:///{tmp_path / 'loop.sqlite'}"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(str(tmp_path), database, name)) for name in "abc"]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert [each.exitcode for each in workers] == [0, 0, 0]
    opened = stores.open(tmp_path, database)
    assert studies.counts(opened)["arriving"] == 15
    assert audit.last(opened)[0] == 15
    assert audit.verify(opened) == []
    opened.close()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "loop.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(InputError, match="damaged or no database"):
        stores.open(tmp_path, f"sqlite:///{tmp_path / 'loop.sqlite'}")


@pytest.mark.parametrize(
    "address", ["nonsense", "mysql://x/y", "postgresql+nothing://x/y", "://", "sqlite://", "sqlite:///:memory:"]
)
def test_addresses_that_cannot_be_used(tmp_path, address):
    with pytest.raises(InputError) as refused:
        stores.open(tmp_path, address)
    assert refused.value.code == "bad-database"


def test_a_server_that_does_not_answer(tmp_path):
    with pytest.raises(InputError) as refused:
        stores.open(tmp_path, f"postgresql://medloop@/x?host={tmp_path}")
    assert refused.value.code == "no-database"


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, sqlite):
    shutil.copy(sqlite, tmp_path)
    opened = stores.open(tmp_path, f"sqlite:///{tmp_path / 'loop.sqlite'}")
    with opened.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def small(connection, _record, _proxy):
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").close()

    sa.event.listen(opened.engine, "checkout", small)
    kept = []

    def fill():
        for number in range(2000):
            new = StudyRow(name=str(number), content=str(number), batch="x" * 3000)
            kept.append(studies.add(opened, new, "ada"))

    with pytest.raises(InputError, match="No space is left"):
        fill()
    assert studies.counts(opened)["arriving"] == len(kept) > 0
    assert audit.verify(opened) == []
    opened.close()


def test_somebody_who_holds_the_database_is_waited_for_and_then_said(tmp_path, sqlite, monkeypatch):
    shutil.copy(sqlite, tmp_path)
    monkeypatch.setattr(stores.base, "_WAIT_S", 0.1)
    opened = stores.open(tmp_path, f"sqlite:///{tmp_path / 'loop.sqlite'}")
    other = sqlite3.connect(tmp_path / "loop.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(InputError) as refused:
        settings.put(opened, {"readers": 2}, "ada")
    assert refused.value.code == "database-busy"
    assert settings.get(opened, "readers") == 1
    other.execute("ROLLBACK")
    other.close()
    settings.put(opened, {"readers": 2}, "ada")
    opened.close()


def test_settings_are_known_by_name(store):
    with pytest.raises(InputError, match="Did you mean readers"):
        settings.put(store, {"blind_share": 0.5, "reader": 2}, "ada")
    assert settings.get(store, "blind_share") == settings.DEFAULTS["blind_share"]
    with pytest.raises(InputError):
        settings.get(store, "x")
    settings.put(store, {"target": {"name": "finding", "classes": ["a", "b"]}, "mapping": None}, "ada")
    assert settings.every(store)["target"]["classes"] == ["a", "b"]
    assert audit.page(store)[0].content == {"from": None, "to": {"name": "finding", "classes": ["a", "b"]}}


def test_where_there_is_none_none_is_made(tmp_path):
    with pytest.raises(InputError, match="no records"):
        stores.open(tmp_path / "x", f"sqlite:///{tmp_path / 'x' / 'loop.sqlite'}", make=False)
    assert not (tmp_path / "x").exists()
    assert head.read(tmp_path) is None
