"""The tables. The same on SQLite and PostgreSQL; `medloop.store.migrations` makes them, and a test holds the two together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """A moment in UTC as ISO text of fixed width, so that both databases sort and hash it alike."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        """Text for the database."""
        del dialect
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        """The moment."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


class Words(TypeDecorator[str]):
    """Text of any length. What no database takes (NUL, half a surrogate pair) is replaced, not refused."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Text for the database."""
        del dialect
        return None if value is None else value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


Json = sa.JSON(none_as_null=True)
metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)


def _table(name: str, *parts: Any) -> sa.Table:
    return sa.Table(name, metadata, *parts, sqlite_autoincrement=True)  # numbers of deleted rows are not given again


studies = _table(
    "studies",
    _id(),
    sa.Column("name", Words, nullable=False),
    sa.Column("content", sa.String(128), nullable=False, unique=True),
    sa.Column("patient", Words, index=True),
    sa.Column("study", Words),
    sa.Column("site", Words),
    sa.Column("scanner", Words),
    sa.Column("modality", Words),
    sa.Column("arrived", Moment, nullable=False),
    sa.Column("ready", Moment),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("frozen", sa.Boolean, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("urgency", sa.Integer, nullable=False),
    sa.Column("priority", sa.Float, nullable=False),
    sa.Column("why", Words, nullable=False),
    sa.Column("attributes", Json, nullable=False),
    sa.Column("batch", Words, nullable=False),
    sa.Column("refs", Json, nullable=False),  # last: a page of the worklist does not read it
    sa.Index("ix_studies_useful", "state", sa.text("priority DESC"), "id"),
    sa.Index("ix_studies_urgent", "state", sa.text("urgency DESC"), "id"),
    sa.Index("ix_studies_arrival", "state", "id"),
)

reviews = _table(
    "reviews",
    _id(),
    sa.Column("case_id", sa.ForeignKey("studies.id"), nullable=False, index=True),
    sa.Column("proposal_id", sa.Integer),
    sa.Column("author", Words, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("value", Json),
    sa.Column("reason", Words, nullable=False),
    sa.Column("findings", Json, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("of_review", sa.ForeignKey("reviews.id"), unique=True),
)

labels = _table(
    "labels",
    _id(),
    sa.Column("case_id", sa.ForeignKey("studies.id"), nullable=False),
    sa.Column("target", Words, nullable=False),
    sa.Column("value", Json),
    sa.Column("author", Words, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("provenance", sa.String(16), nullable=False),
    sa.Column("review_id", sa.ForeignKey("reviews.id")),
    sa.Index(None, "case_id", "target", "id"),
)

proposals = _table(
    "proposals",
    _id(),
    sa.Column("case_id", sa.ForeignKey("studies.id"), nullable=False),
    sa.Column("model_id", sa.Integer, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.Column("label", Words, nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("probabilities", Json, nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("why", Words, nullable=False),
    sa.Column("standards", Json, nullable=False),
    sa.Column("summary", Words, nullable=False),
    sa.Column("findings", Json, nullable=False),
    sa.Column("nearest", Json, nullable=False),
    sa.Column("priority", sa.Float, nullable=False),
    sa.Column("unlikeness", sa.Float, nullable=False),
    sa.Index(None, "case_id", "model_id", "id"),
)

_CHAMPION = sa.text("state = 'champion'")
models = _table(
    "models",
    _id(),
    sa.Column("name", Words, nullable=False, unique=True),
    sa.Column("path", Words, nullable=False),
    sa.Column("family", Words, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("parent", sa.Integer),
    sa.Column("dataset", Words, nullable=False),
    sa.Column("labels_upto", sa.Integer, nullable=False),
    sa.Column("card", Json, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Index("uq_models_champion", "state", unique=True, sqlite_where=_CHAMPION, postgresql_where=_CHAMPION),
)

promotions = _table(
    "promotions",
    _id(),
    sa.Column("champion_id", sa.Integer),
    sa.Column("challenger_id", sa.Integer, nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("forced", sa.Boolean, nullable=False),
    sa.Column("evidence", Json, nullable=False),
)

looks = _table(
    "looks",
    _id(),
    sa.Column("test_set", sa.String(128), nullable=False, index=True),
    sa.Column("model_id", sa.Integer),
    sa.Column("time", Moment, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("why", Words, nullable=False),
)

accounts = _table(
    "accounts",
    _id(),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("password", sa.String(256), nullable=False),
    sa.Column("preferences", Json, nullable=False),
)

secrets = _table(
    "secrets",
    _id(),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE")),
    sa.Column("label", Words, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Index(None, "kind", "account_id"),
)
"""Sessions, API tokens and one-time links, by the SHA-256 of what their holder has."""

attempts = _table(
    "attempts",
    _id(),
    sa.Column("who", sa.String(64), nullable=False),
    sa.Column("time", Moment, nullable=False),
    sa.Index(None, "who", "time"),
)
"""Failed log-ins. ``who`` is a hash of the name or of the address."""

drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("case_id", sa.ForeignKey("studies.id"), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("time", Moment, nullable=False),
    sa.Column("content", Json, nullable=False),
)

desks = sa.Table(
    "desks",
    metadata,
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("studies.id"), nullable=False, unique=True),
    sa.Column("until", Moment, nullable=False),
)
"""The one case that lies on each reader's desk, and how long it counts."""

passed = sa.Table(
    "passed",
    metadata,
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("studies.id"), primary_key=True),
    sa.Column("until", Moment, nullable=False),
)
"""Cases that readers passed over, and how long they are not offered to them again."""

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

jobs = _table(
    "jobs",
    _id(),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("request", Json, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("progress", Json, nullable=False),
    sa.Column("result", Json),
    sa.Column("error", Json),
    sa.Column("actor", Words, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("started", Moment),
    sa.Column("ended", Moment),
    sa.Column("heartbeat", Moment),
    sa.Index(None, "state", "id"),
)

keys = _table(
    "keys",
    _id(),
    sa.Column("patient", Words, nullable=False, unique=True),
    sa.Column("key", sa.String(64), nullable=False),
)
"""One key a patient, with which the audit trail's content about them is encrypted."""

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", Moment, nullable=False),
    sa.Column("actor", Words, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", Words, nullable=False),
    sa.Column("key_id", sa.Integer),
    sa.Column("content", Words, nullable=False),
    sa.Column("rows", Json, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index(None, "subject"),
)
"""``rows``: hashes of the rows that this entry stands for, as ``{"labels:12": hash}``."""

head = sa.Table(
    "head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
"""One row: the last entry of the audit trail."""
