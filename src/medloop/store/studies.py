"""Studies: what arrived, and where each stands on its way to a confirmed label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import audit
from medloop.store._rows import Row, one, pairs, parts, said
from medloop.store._rows import add as insert
from medloop.store.base import Store
from medloop.store.blobs import Blobs
from medloop.store.records import OPEN_STATES, STATES, Page, StudyRow, now
from medloop.store.tables import proposals, reviews, studies
from medloop.types import ImageRef, Json
from medloop.wire import to_json

_BLOB = "blob:"
_LIGHT = [column for column in studies.c if column.name != "refs"]
_OF_PATIENT = (
    sa.select(*_LIGHT).where(studies.c.patient == sa.bindparam("whose"), studies.c.state != "deleted").order_by(studies.c.arrived)
)
_ORDERS: dict[str, sa.Column[Any] | None] = {
    "useful": studies.c.priority,
    "urgency": studies.c.urgency,
    "arrival": None,
    "newest": None,
}
ORDERS = tuple(_ORDERS)
"""``useful``: highest priority first; ``urgency``: most urgent first; both then as they arrived. ``newest``: last arrived first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which studies are meant; None means all. ``unread_by``: not yet read by this reader. ``text``: part of the name."""

    states: Sequence[str] = OPEN_STATES
    site: str | None = None
    scanner: str | None = None
    modality: str | None = None
    batch: str | None = None
    frozen: bool | None = None
    unread_by: str | None = None
    text: str | None = None


def add(store: Store, new: StudyRow, actor: str) -> tuple[int, bool]:
    """Keep a study; returns its number and whether it is new. The same content again changes nothing and gives its number."""
    values = said(new) | {"refs": _refs_json(new.refs, store.blobs), "attributes": dict(new.attributes)}
    with store.write() as connection:
        known = connection.scalar(sa.select(studies.c.id).where(studies.c.content == new.content))
        if known is not None:
            return int(known), False
        number = int(insert(connection, studies, values)["id"])
        content = {"name": new.name, "content": new.content, "state": new.state, "frozen": new.frozen, "blind": new.blind}
        audit.append(connection, actor, "study.add", f"study:{number}", content, patient_key(new.patient, number))
        return number, True


def find(store: Store, content: str) -> int | None:
    """The number of the study with this content, or None."""
    with store.read() as connection:
        return connection.scalar(sa.select(studies.c.id).where(studies.c.content == content))


def get(store: Store, number: int) -> StudyRow:
    """One study with its images. Raises `InputError` where there is none of that number."""
    with store.read() as connection:
        return _study(one(connection, studies, number, "study"), store.blobs)


def many(store: Store, numbers: Iterable[int]) -> list[StudyRow]:
    """These studies with their images, by number; numbers that are none are left out."""
    with store.read() as connection:
        return [
            _study(row, store.blobs)
            for part in parts(sorted(set(numbers)))
            for row in connection.execute(sa.select(studies).where(studies.c.id.in_(part)).order_by(studies.c.id)).mappings()
        ]


def of_patient(store: Store, patient: str) -> list[StudyRow]:
    """All studies of a patient in the order of arrival, without their images' references."""
    with store.read() as connection:
        return [_study(row, store.blobs) for row in connection.execute(_OF_PATIENT, {"whose": patient}).mappings()]


def local(store: Store, row: StudyRow) -> StudyRow:
    """Make sure that the files of its images lie on this machine, and return the study."""
    for ref in row.refs:
        for file in ref.files:
            if key := store.blobs.key_of(file):
                store.blobs.local(key)
    return row


def page(
    store: Store,
    order: str = "useful",
    which: Filter | None = None,
    limit: int = 50,
    after: str | None = None,
    refs: bool = False,
) -> Page:
    """The next studies of a list in this order, after the page whose `Page.after` is given. Each page costs the same, near or far.

    ``refs``: with the references of their images. Raises `InputError` for an order or a place that makes no sense.
    """
    which = which or Filter()
    _check(order, which, limit)
    place = _place(order, after)
    found: list[Row] = []
    with store.read() as connection:
        for state in which.states:
            found += _some(connection, order, (_where(which) & (studies.c.state == state)), limit + 1, place)
        found.sort(key=lambda row: _key(order, row))
        shown = found[:limit]
        whole: dict[int, Json] = {}
        if refs and shown:
            wanted = sa.select(studies.c.id, studies.c.refs).where(studies.c.id.in_([row["id"] for row in shown]))
            whole = pairs(connection.execute(wanted))
    rows = tuple(_study({**row, "refs": whole.get(row["id"], [])}, store.blobs) for row in shown)
    return Page(rows, _token(order, shown[-1]) if len(found) > limit else None)


def first(order: str, which: Filter, free: sa.ColumnElement[bool], reader: str) -> sa.Select[Any]:
    """The statement that asks for the number of the first study of a list for which ``free`` holds.

    One that waits for its second reader counts only where this one has not read it. Raises `InputError` for an odd list.
    """
    _check(order, which, 1)
    column, by_id = _ORDERS[order], studies.c.id.desc() if order == "newest" else studies.c.id
    rank: sa.ColumnElement[Any] = sa.literal(0) if column is None else column
    unread, found = dataclasses.replace(which, unread_by=reader), []
    for state in which.states:
        meant = _where(unread if state == "reading" else which) & (studies.c.state == state) & free
        in_order = sa.select(studies.c.id, rank.label("rank")).where(meant)
        in_order = in_order.order_by(by_id) if column is None else in_order.order_by(column.desc(), by_id)
        found.append(sa.select(in_order.limit(1).subquery()))
    every = sa.union_all(*found).subquery()
    return sa.select(every.c.id).order_by(every.c.rank.desc(), every.c.id.desc() if order == "newest" else every.c.id).limit(1)


def count(store: Store, which: Filter | None = None) -> int:
    """How many studies there are of this kind."""
    which = which or Filter()
    with store.read() as connection:
        wanted = sa.select(sa.func.count()).select_from(studies).where(_where(which), studies.c.state.in_(which.states))
        return int(connection.scalar(wanted) or 0)


def counts(store: Store) -> dict[str, int]:
    """How many studies are in each state; states without any are 0."""
    with store.read() as connection:
        found = pairs(connection.execute(sa.select(studies.c.state, sa.func.count()).group_by(studies.c.state)))
    return {state: found.get(state, 0) for state in STATES}


def set_state(store: Store, number: int, state: str, actor: str, why: str = "") -> None:
    """Say where a study stands now, and why."""
    with store.write() as connection:
        row = one(connection, studies, number, "study")
        move(connection, row, state, actor, why)


def move(connection: sa.Connection, row: Row, state: str, actor: str, why: str = "") -> None:
    """As `set_state`, inside the caller's transaction. A deleted study stays deleted."""
    if state not in STATES or (row["state"] == "deleted" and state != "deleted"):
        raise InputError(
            "bad-state",
            got=f"Study {row['id']} cannot go from '{row['state']}' to '{state}'.",
            allowed=", ".join(STATES) + "; what is deleted stays deleted.",
            fix="Choose another state or study.",
        )
    if (row["state"], row["why"]) == (state, why):
        return
    values: dict[str, Any] = {"state": state, "why": why}
    if state == "ready" and row["ready"] is None:
        values["ready"] = now()
    connection.execute(sa.update(studies).where(studies.c.id == row["id"]).values(**values))
    content = {"from": row["state"], "to": state, "why": why}
    audit.append(connection, actor, "study.state", f"study:{row['id']}", content, patient_key(row["patient"], row["id"]))


def set_priorities(store: Store, priorities: Mapping[int, float]) -> None:
    """How much the model would learn from each study. It only orders the list and is not part of the trail."""
    if priorities:
        with store.write() as connection:
            wanted = sa.update(studies).where(studies.c.id == sa.bindparam("number")).values(priority=sa.bindparam("value"))
            connection.execute(wanted, [{"number": key, "value": float(value)} for key, value in priorities.items()])


def set_urgency(store: Store, number: int, urgency: int, actor: str) -> None:
    """How soon a study must be read; higher is sooner."""
    with store.write() as connection:
        row = one(connection, studies, number, "study")
        connection.execute(sa.update(studies).where(studies.c.id == number).values(urgency=urgency))
        patient = patient_key(row["patient"], number)
        audit.append(connection, actor, "study.urgency", f"study:{number}", {"from": row["urgency"], "to": urgency}, patient)


def draw(store: Store, number: int, actor: str, *, frozen: bool | None = None, blind: bool | None = None) -> None:
    """Put a study into the frozen test set or among those read blind, or take it out; None leaves it as it is."""
    drawn = {name: value for name, value in (("frozen", frozen), ("blind", blind)) if value is not None}
    with store.write() as connection:
        row = one(connection, studies, number, "study")
        connection.execute(sa.update(studies).where(studies.c.id == number).values(**drawn))
        audit.append(connection, actor, "study.draw", f"study:{number}", drawn, patient_key(row["patient"], number))


def patient_key(patient: str | None, number: int) -> str:
    """Under whose key the trail keeps what is said of a study; one without a patient is its own."""
    return f"study {number}" if patient is None else f"patient {patient}"


def _study(row: Row, blobs: Blobs) -> StudyRow:
    fields = {item.name: row[item.name] for item in dataclasses.fields(StudyRow) if item.name in row}
    return StudyRow(**fields | {"refs": tuple(_ref(each, blobs) for each in row.get("refs") or ())})


def _refs_json(refs: Sequence[ImageRef], blobs: Blobs) -> Json:
    """References with the keys of blobs instead of paths, so that the workspace can move."""
    found = [to_json(ref) for ref in refs]
    for each in found:
        keys = [(file, blobs.key_of(file)) for file in each["files"]]
        each["files"] = [f"{_BLOB}{key}" if key else file for file, key in keys]
    return found


def _ref(content: dict[str, Any], blobs: Blobs) -> ImageRef:
    files = tuple(str(blobs.path(file[len(_BLOB) :])) if file.startswith(_BLOB) else file for file in content["files"])
    spacing = content["spacing_mm"]
    z, y, x = spacing or (0.0, 0.0, 0.0)
    facts = tuple((name, text) for name, text in content["facts"])
    exact = {"files": files, "spacing_mm": (z, y, x) if spacing else None, "facts": facts, "shape": tuple(content["shape"])}
    return ImageRef(**content | exact)


def _where(which: Filter) -> sa.ColumnElement[bool]:
    wanted: list[sa.ColumnElement[bool]] = [
        studies.c[name] == value
        for name in ("site", "scanner", "modality", "batch", "frozen")
        if (value := getattr(which, name)) is not None
    ]
    if which.text:
        wanted.append(studies.c.name.icontains(which.text, autoescape=True))
    if which.unread_by is not None:
        undone = sa.select(reviews.c.of_review).where(reviews.c.of_review.is_not(None))
        read = sa.select(reviews.c.id).where(
            reviews.c.case_id == studies.c.id,
            reviews.c.author == which.unread_by,
            reviews.c.action != "undo",
            reviews.c.id.not_in(undone),
        )
        wanted.append(~read.exists())
    return sa.and_(sa.true(), *wanted)


def _some(
    connection: sa.Connection, order: str, where: sa.ColumnElement[bool], limit: int, place: tuple[float | None, int] | None
) -> list[Row]:
    """The next rows of one state. Those that tie with the place come first, then those behind it: each an index range."""
    column, newest = _ORDERS[order], order == "newest"
    by_id = studies.c.id.desc() if newest else studies.c.id
    base = sa.select(*_LIGHT).where(where)
    if column is None:
        if place is not None:
            base = base.where(studies.c.id < place[1] if newest else studies.c.id > place[1])
        return [dict(row) for row in connection.execute(base.order_by(by_id).limit(limit)).mappings()]
    rest = base.order_by(column.desc(), by_id)
    if place is None:
        return [dict(row) for row in connection.execute(rest.limit(limit)).mappings()]
    ties = base.where(column == place[0], studies.c.id > place[1]).order_by(by_id)
    found: list[Row] = [dict(row) for row in connection.execute(ties.limit(limit)).mappings()]
    if len(found) < limit:
        behind = rest.where(column < place[0]).limit(limit - len(found))
        found += [dict(row) for row in connection.execute(behind).mappings()]
    return found


def _key(order: str, row: Row) -> tuple[float, int]:
    column = _ORDERS[order]
    return (0.0 if column is None else -row[column.name], -row["id"] if order == "newest" else row["id"])


def _token(order: str, row: Row) -> str:
    column = _ORDERS[order]
    return f"{row['id']}" if column is None else f"{float(row[column.name]).hex()}_{row['id']}"


def _place(order: str, after: str | None) -> tuple[float | None, int] | None:
    if not after:
        return None
    value, _, number = after.rpartition("_")
    try:
        return (None if _ORDERS[order] is None else float.fromhex(value), int(number))
    except (ValueError, OverflowError) as error:
        raise InputError(
            "bad-place", got="The place in the list makes no sense.", allowed="What the page before gave.", fix="Begin at the top."
        ) from error


def _check(order: str, which: Filter, limit: int) -> None:
    wrong = [state for state in which.states if state not in STATES]
    if order not in _ORDERS or wrong or not 1 <= limit <= 1000:
        raise InputError(
            "bad-list",
            got=f"There is no list of {', '.join(which.states)} by '{order}' with {limit} rows.",
            allowed=f"The states {', '.join(STATES)}; the orders {', '.join(_ORDERS)}; 1 to 1000 rows.",
            fix="Choose among these.",
        )


def best_known(connection: sa.Connection, number: int) -> str:
    """The state of a study that nobody has read: proposed where a model has said something of it, else ready."""
    some = connection.scalar(sa.select(proposals.c.id).where(proposals.c.case_id == number).limit(1))
    return "ready" if some is None else "proposed"
