"""Reviews: what readers said. Appended in one transaction with the label they mean and the trail's entry; never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError, Refused
from medloop.store import audit, labels, settings
from medloop.store._rows import Row, add, made, one, parts, said
from medloop.store.base import Store
from medloop.store.records import ACTIONS, LabelRow, ReviewRow
from medloop.store.studies import best_known, patient_key
from medloop.store.tables import accounts, drafts, proposals, reviews, studies
from medloop.types import Json, Provenance

_CLOSED = ("arriving", "deleted")
_OF_CASE = sa.select(reviews).where(reviews.c.case_id == sa.bindparam("case")).order_by(reviews.c.id)
_MOVE = sa.update(studies).where(studies.c.id == sa.bindparam("number"))
_DROP_DRAFT = sa.delete(drafts).where(
    drafts.c.case_id == sa.bindparam("case"),
    drafts.c.account_id == sa.select(accounts.c.id).where(accounts.c.name == sa.bindparam("reader")).scalar_subquery(),
)


class AlreadyRead(Refused):
    """Somebody else committed a review of this case since the page was drawn. Nothing was lost, and nothing was written."""

    http_status = 409

    def __init__(self, by: str, at: datetime) -> None:
        super().__init__(
            "already-read",
            got=f"This case was already read by {by} at {at:%Y-%m-%d %H:%M} UTC.",
            allowed="A review of the case as it is now.",
            fix="Look at what was said, then confirm or correct it. Your correction is kept as a draft.",
        )
        self.by = by
        self.at = at

    def __reduce__(self) -> tuple[object, ...]:
        return (AlreadyRead, (self.by, self.at))


def head(store: Store, case_id: int) -> int | None:
    """The number of a case's last review, which a page hands back with its own as ``seen``."""
    told = of_case(store, case_id)
    return told[-1].id if told else None


def commit(store: Store, new: ReviewRow, seen: int | None = None, actor: str | None = None) -> ReviewRow:
    """Append a review with its labels, its entry in the trail and the study's new state, in one transaction.

    ``seen``: `head` when the page was drawn. ``actor``: who acts, where not the author. With two readers a second reading that is
    still wanted is no conflict. Raises `AlreadyRead`, and `InputError` for a review that makes no sense.
    """
    with store.write() as connection:
        case = one(connection, studies, new.case_id, "study")
        told = _of_case(connection, new.case_id)
        chosen = settings.values(connection, "readers", "target")
        _check(case, new, told)
        _agree(case, new, told, seen, int(chosen["readers"]))
        row = add(connection, reviews, said(_completed(connection, new)))
        review = made(ReviewRow, row)
        rows = {f"reviews:{review.id}": audit.row_hash(row)}
        state, why, meant = _outcome(connection, case, [*told, review], chosen)
        for label in meant:
            kept, hash_ = labels.write(connection, label)
            rows[f"labels:{kept.id}"] = hash_
        connection.execute(_MOVE, {"number": case["id"], "state": state, "why": why})
        content = {"review": review.id, "state": state, **{name: row[name] for name in ("value", "reason", "findings", "blind")}}
        patient = patient_key(case["patient"], case["id"])
        audit.append(connection, actor or review.author, f"review.{review.action}", f"study:{case['id']}", content, patient, rows)
        connection.execute(_DROP_DRAFT, {"case": case["id"], "reader": review.author})
        return review


def undo(store: Store, review_id: int, author: str) -> ReviewRow:
    """Take back one's own review, if it is the last of its case. It stays in the record, and what it meant no longer counts."""
    with store.read() as connection:
        row = one(connection, reviews, review_id, "review")
    return commit(store, ReviewRow(case_id=row["case_id"], author=author, action="undo", of_review=review_id), seen=review_id)


def of_case(store: Store, case_id: int) -> list[ReviewRow]:
    """Every review of a case, oldest first, undone ones and undoings too."""
    with store.read() as connection:
        return _of_case(connection, case_id)


def not_undone(told: Sequence[ReviewRow]) -> list[ReviewRow]:
    """Those of a case's reviews that stand."""
    undone = {row.of_review for row in told}
    return [row for row in told if row.action != "undo" and row.id not in undone]


def standing(store: Store, case_ids: Iterable[int] | None = None, *, author: str | None = None) -> list[ReviewRow]:
    """Reviews that were not undone, oldest first; of these cases, of this reader, if named."""
    with store.read() as connection:
        found: list[ReviewRow] = []
        for part in [None] if case_ids is None else parts(case_ids):
            wanted = _standing()
            wanted = wanted if part is None else wanted.where(reviews.c.case_id.in_(part))
            wanted = wanted if author is None else wanted.where(reviews.c.author == author)
            found += [made(ReviewRow, row) for row in connection.execute(wanted.order_by(reviews.c.id)).mappings()]
    return sorted(found, key=lambda row: row.id)


def last_of(store: Store, author: str) -> ReviewRow | None:
    """The last review of a reader that was not undone: what "undo" means."""
    with store.read() as connection:
        wanted = _standing().where(reviews.c.author == author).order_by(reviews.c.id.desc()).limit(1)
        row = connection.execute(wanted).mappings().one_or_none()
        return None if row is None else made(ReviewRow, row)


def _standing() -> sa.Select[Any]:
    undone = sa.select(reviews.c.of_review).where(reviews.c.of_review.is_not(None))
    return sa.select(reviews).where(reviews.c.action != "undo", reviews.c.id.not_in(undone))


def _of_case(connection: sa.Connection, case_id: int) -> list[ReviewRow]:
    return [made(ReviewRow, row) for row in connection.execute(_OF_CASE, {"case": case_id}).mappings()]


def _check(case: Row, new: ReviewRow, told: Sequence[ReviewRow]) -> None:
    """Raises `InputError` for a review that makes no sense."""
    wrong = ""
    if new.action not in ACTIONS:
        wrong = f"There is no action '{new.action}'."
    elif case["state"] in _CLOSED:
        wrong = f"Study {case['id']} is {case['state']} and cannot be read."
    elif new.action == "correct" and new.value is None and not new.findings:
        wrong = "A correction says neither a value nor findings."
    elif new.action in ("reject", "unsure") and not new.reason.strip():
        wrong = "A review that rejects or is unsure gives no reason."
    elif new.action == "accept" and new.proposal_id is None and new.value is None:
        wrong = "Nothing was proposed that could be accepted."
    elif new.action == "undo" and all((row.id, row.author) != (new.of_review, new.author) for row in not_undone(told)):
        wrong = "Only one's own review can be undone, and only once."
    if wrong:
        raise InputError(
            "bad-review", got=wrong, allowed=f"The actions {', '.join(ACTIONS)}.", fix="Mend the review and send it again."
        )


def _agree(case: Row, new: ReviewRow, told: Sequence[ReviewRow], seen: int | None, readers: int) -> None:
    """Raises `AlreadyRead` if somebody committed since, unless what is missing is exactly another person's reading."""
    if not told or told[-1].id == seen:
        return
    readings = _readings(told)
    wanted = case["state"] in ("ready", "proposed", "reading") and len(readings) < readers
    if new.action == "undo" or not wanted or any(row.author == new.author for row in readings):
        raise AlreadyRead(told[-1].author, told[-1].time)


def _readings(told: Sequence[ReviewRow]) -> list[ReviewRow]:
    """What each person said last of a case, as far as it stands."""
    return list({row.author: row for row in not_undone(told)}.values())


def _completed(connection: sa.Connection, new: ReviewRow) -> ReviewRow:
    """An acceptance says what was accepted."""
    if new.action != "accept" or new.proposal_id is None or new.value is not None:
        return new
    proposal = one(connection, proposals, new.proposal_id, "proposal")
    return ReviewRow(**said(new) | {"value": proposal["label"] or None})


def _outcome(
    connection: sa.Connection, case: Row, told: Sequence[ReviewRow], chosen: Mapping[str, Json]
) -> tuple[str, str, list[LabelRow]]:
    """The study's new state after the last of its reviews, the reason of it, and the labels that now hold."""
    review, readings = told[-1], _readings(told)
    if review.action == "undo":
        return ("reading" if readings else best_known(connection, case["id"])), "", []
    if review.action == "reject":
        return "rejected", review.reason, []
    if review.action == "unsure":
        return "adjudication", review.reason, []
    if case["state"] not in ("ready", "proposed", "reading"):
        return "done", "", _labels(review, chosen["target"], blind=review.blind)
    readings = [row for row in readings if row.action in ("accept", "correct")]
    if len(readings) < int(chosen["readers"]):
        return "reading", "", []
    if any(_meaning(row) != _meaning(readings[0]) for row in readings[1:]):
        return "adjudication", "The readers do not agree.", []
    return "done", "", _labels(review, chosen["target"], blind=all(row.blind for row in readings))


def _meaning(row: ReviewRow) -> Json:
    """What is compared between two readers: the value. Drawn outlines differ always, and their agreement is measured elsewhere."""
    return row.value


def _labels(review: ReviewRow, target: Json, *, blind: bool) -> list[LabelRow]:
    name = target.get("name", "classes") if isinstance(target, dict) else "classes"
    unaided = blind or review.proposal_id is None
    shared: dict[str, Any] = {
        "case_id": review.case_id,
        "author": review.author,
        "reason": review.reason,
        "provenance": (Provenance.HUMAN if unaided else Provenance.HUMAN_AFTER_AI).value,
        "review_id": review.id,
        "time": review.time,
    }
    meant = {name: review.value} | review.findings
    return [LabelRow(target=key, value=value, **shared) for key, value in meant.items() if value is not None]
