"""A PostgreSQL server of its own for the tests, run as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests.peers import peer


@contextmanager
def server() -> Iterator[sa.URL]:
    """The address of the server's own database; the test skips where PostgreSQL is missing."""
    initdb, postgres = peer("initdb"), peer("postgres")
    # a short path: the socket's name may have 107 letters
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    try:
        made = [initdb, "-D", folder / "data", "-U", "medloop", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
        quiet = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=120", "-c", "log_destination=stderr"]
        command = [postgres, "-D", folder / "data", "-k", folder, *quiet]
        with subprocess.Popen(
            command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                _ready(process)
                yield sa.make_url(f"postgresql+psycopg://medloop@/postgres?host={folder}")
            finally:
                process.terminate()
                process.communicate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(address: sa.URL, name: str, template: str = "template1") -> sa.URL:
    """Make a database on the server; returns its address."""
    engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    return address.set(database=name)


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "ready to accept connections" in line:
            return
    raise RuntimeError("".join(said))
