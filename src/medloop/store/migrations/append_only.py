"""Triggers that keep appended rows as they are, on both databases.

A row of labels or reviews whose study is deleted (its patient was forgotten) may be blanked, and nothing else ever changes.
"""

from __future__ import annotations

from alembic import op

APPENDED = {"labels": ("value", "reason"), "reviews": ("value", "reason", "findings"), "audit": ()}
"""The appended tables, and what of their rows is blanked when a patient is forgotten."""
_KEPT = {
    "labels": ("id", "case_id", "target", "author", "time", "provenance", "review_id"),
    "reviews": ("id", "case_id", "proposal_id", "author", "time", "action", "blind", "seconds", "of_review"),
}


def forbid_change(table: str) -> None:
    """Make the triggers of one table."""
    changed = _forbidden(table)
    says = f"rows of {table} are appended and never changed"
    if op.get_bind().dialect.name == "sqlite":
        for verb, when in (("UPDATE", f"WHEN {changed} "), ("DELETE", "")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {when}BEGIN SELECT RAISE(ABORT, '{says}'); END"
            )
        return
    body = f"IF TG_OP = 'UPDATE' THEN IF NOT ({changed}) THEN RETURN NEW; END IF; END IF; RAISE EXCEPTION '{says}';"
    op.execute(f"CREATE FUNCTION {table}_appended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    each = f"FOR EACH ROW EXECUTE FUNCTION {table}_appended()"
    op.execute(f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} {each}")
    op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {table}_appended()")


def _forbidden(table: str) -> str:
    """When an update is forbidden, as SQL."""
    if not APPENDED[table]:
        return "1 = 1"
    differs = [f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _KEPT[table]]
    blank = ["NEW.value IS NOT NULL", "NEW.reason <> ''"]
    blank += ["CAST(NEW.findings AS TEXT) <> '{}'"] if "findings" in APPENDED[table] else []
    alive = "NOT EXISTS (SELECT 1 FROM studies WHERE studies.id = OLD.case_id AND studies.state = 'deleted')"
    return " OR ".join([*differs, *blank, alive])
