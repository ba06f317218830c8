"""Each kind of tampering, done with raw SQL as somebody would who can write the database, must be found."""

import pytest
import sqlalchemy as sa

from medloop.store import audit, head, labels, reviews, settings, studies, tables
from medloop.store.records import LabelRow, ReviewRow


@pytest.fixture
def trail(store, study):
    """A store with a trail of a dozen entries."""
    for number in range(6):
        case = study(f"{number}.png", patient=f"P{number}")
        reviews.commit(store, ReviewRow(case_id=case, author="ada", action="correct", value="normal", reason="clear"))
    assert audit.verify(store) == []
    assert audit.last(store)[0] == 12
    return store


def tamper(store, *statements):
    """Run SQL with the triggers out of the way."""
    with store.engine.connect() as connection, connection.begin():
        if store.postgresql:
            connection.exec_driver_sql("SET session_replication_role = replica")
        else:
            for name in connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for each in statements:
            connection.exec_driver_sql(each)
        if store.postgresql:
            connection.exec_driver_sql("SET session_replication_role = origin")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE number = 5", "Entry 5 was changed"),
        ("UPDATE audit SET time = '2020-01-01T00:00:00.000000+00:00' WHERE number = 5", "Entry 5 was changed"),
        ("UPDATE audit SET content = '{}' WHERE number = 5", "Entry 5 was changed"),
        ("UPDATE audit SET key_id = NULL WHERE number = 5", "Entry 5 was changed"),
        ("UPDATE audit SET rows = '{}' WHERE number = 6", "Entry 6 was changed"),
        ("DELETE FROM audit WHERE number = 5", "missing between 4 and 6"),
        ("DELETE FROM audit WHERE number = 1", "missing between 0 and 2"),
        ("DELETE FROM audit WHERE number = 12", "ends at entry 11"),
        ("DELETE FROM audit", "ends at entry 0"),
        ("UPDATE labels SET value = '\"pneumonia\"' WHERE id = 2", "Row 2 of labels was changed"),
        ("UPDATE reviews SET author = 'eve' WHERE id = 2", "Row 2 of reviews was changed"),
        ("DELETE FROM labels WHERE id = 2", "Row 2 of labels is missing"),
    ],
)
def test_a_change_is_found(trail, change, says):
    tamper(trail, change)
    assert any(says in problem for problem in audit.verify(trail)), audit.verify(trail)


def test_re_ordering_is_found(trail):
    tamper(
        trail,
        "UPDATE audit SET number = 1005 WHERE number = 5",
        "UPDATE audit SET number = 5 WHERE number = 6",
        "UPDATE audit SET number = 6 WHERE number = 1005",
    )
    said = " ".join(audit.verify(trail))
    assert "Entry 5 does not follow" in said
    assert "Entry 5 was changed" in said


def test_a_cut_tail_is_found_though_the_database_is_made_to_agree(trail):
    with trail.read() as connection:
        hash_ = connection.scalar(sa.text("SELECT hash FROM audit WHERE number = 9"))
    kept = audit.last(trail)
    tamper(
        trail,
        "DELETE FROM audit WHERE number > 9",
        f"UPDATE head SET number = 9, hash = '{hash_}'",
        "DELETE FROM labels WHERE id > 4",
        "DELETE FROM reviews WHERE id > 4",
    )
    assert audit.verify(trail) == ["The head file names entry 12, and the trail ends at 9."]
    settings.put(trail, {"readers": 2}, "eve")  # the trail goes on, and the cut stays visible
    settings.put(trail, {"error_rate": 0.5}, "eve")
    settings.put(trail, {"confidence": 0.5}, "eve")
    assert any("Entry 12 is not the one" in problem for problem in audit.verify(trail))
    head.path(trail.root).unlink()
    assert any("head file" in problem or "loop.head is missing" in problem for problem in audit.verify(trail))
    assert any("the head you gave" in problem for problem in audit.verify(trail, kept))


def test_a_label_slipped_in_is_found(trail):
    columns = "case_id, target, value, author, time, reason, provenance"
    values = "1, 'classes', '\"pneumonia\"', 'ada', '2026-01-01T00:00:00.000000+00:00', '', 'human'"
    tamper(trail, f"INSERT INTO labels ({columns}) VALUES ({values})")
    assert audit.verify(trail) == ["Row 7 of labels has no entry in the trail."]


def test_a_forged_entry_with_a_hash_of_its_own_is_found(trail):
    tamper(trail, "UPDATE audit SET actor = 'eve' WHERE number = 5")
    with trail.read() as connection:
        entry = dict(connection.execute(sa.select(tables.audit).where(tables.audit.c.number == 5)).mappings().one())
    tamper(trail, f"UPDATE audit SET hash = '{audit._hash(entry)}' WHERE number = 5")
    assert audit.verify(trail) == ["Entry 6 does not follow entry 5: one of them was put there later or elsewhere."]


def test_a_head_file_that_lags_is_no_problem(trail):
    before = head.path(trail.root).read_text()
    settings.put(trail, {"readers": 2}, "ada")
    head.path(trail.root).write_text(before)  # killed between the commit and the file
    assert audit.verify(trail) == []
    settings.put(trail, {"readers": 1}, "ada")
    assert head.read(trail.root) == audit.last(trail)


def test_the_database_itself_refuses_to_change_what_is_appended(trail):
    for table, column in (("labels", "author"), ("reviews", "author"), ("audit", "actor")):
        for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sa.exc.DBAPIError, match="appended and never changed"), trail.write() as connection:
                connection.exec_driver_sql(statement)
    assert audit.verify(trail) == []


def test_what_fails_leaves_neither_rows_nor_entries(trail):
    before = audit.last(trail)
    with pytest.raises(sa.exc.DBAPIError), trail.write() as connection:
        _ = audit.append(connection, "ada", "test", "nothing", {}), connection.exec_driver_sql("SELECT * FROM nowhere")
    assert audit.last(trail) == before
    assert head.read(trail.root) == before
    settings.put(trail, {"readers": 2}, "ada")
    assert audit.verify(trail) == []


def test_content_is_encrypted_and_read_back(trail):
    entry = next(each for each in audit.page(trail, subject="study:1") if each.action == "review.correct")
    assert entry.content["reason"] == "clear"
    with trail.read() as connection:
        stored = connection.scalars(sa.text("SELECT content FROM audit WHERE key_id IS NOT NULL")).all()
    assert len(stored) == 12
    assert not any('"' in text or "." in text for text in stored)  # what JSON would have, and base64 has not


def test_pages_go_back_in_time(trail):
    first = audit.page(trail, limit=5)
    assert [each.number for each in first] == [12, 11, 10, 9, 8]
    assert [each.number for each in audit.page(trail, limit=5, before=8)] == [7, 6, 5, 4, 3]


def test_an_imported_label_is_vouched_for(trail, study):
    case = study("b.png")
    labels.append(trail, LabelRow(case_id=case, value=3.5, target="age"), "ada")
    assert audit.verify(trail) == []
    assert studies.get(trail, case).state == "ready"
