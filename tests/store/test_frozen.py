"""The frozen test set and the monitor's view of cases, on both databases."""

from __future__ import annotations

from datetime import timedelta

from medloop.loop import _course, _frozen
from medloop.store import Store, audit, labels, proposals, reviews, settings, studies
from medloop.store import models as kept
from medloop.store.records import LabelRow, LookRow, ModelRow, PromotionRow, ProposalRow, ReviewRow, StudyRow, now
from medloop.types import ImageRef, Target, TargetKind

TARGET = Target(TargetKind.BINARY, ("well", "sick"))


def _add(store: Store, number: int, **more: object) -> int:
    ref = ImageRef(name=f"n{number}", reader="raster", files=(f"/gone/{number}.png",), digest=f"d{number}")
    row = StudyRow(
        **{"name": f"n{number}", "content": f"c{number}", "patient": f"p{number}", "state": "done", "refs": (ref,)} | more
    )
    return studies.add(store, row, "tester")[0]


def test_only_blind_truth_of_patients_wholly_inside_counts(store: Store) -> None:
    inside = [_add(store, number, frozen=True) for number in range(6)]
    _add(store, 6, patient="p5", frozen=False)
    said = ["human", "imported", "human-after-ai", "ai-only", "human", "human"]
    for number, provenance in zip(inside, said, strict=True):
        labels.append(store, LabelRow(case_id=number, value="sick", provenance=provenance), "tester")
    studies.set_state(store, inside[4], "adjudication", "tester")
    found = _frozen.frozen_cases(store, TARGET)
    assert [row.id for row in found.rows] == inside[:2]
    assert found.truth == ("sick", "sick")
    assert found.left_out == {
        "read with the proposal in view": 1,
        "not labelled yet": 1,
        "nothing is settled about it": 1,
        "other studies of the patient may be learnt from": 1,
    }


def test_renewal_frees_the_old_and_draws_the_unread(store: Store) -> None:
    old = [_add(store, number, frozen=True) for number in range(3)]
    read = [_add(store, number) for number in range(3, 6)]
    for number in read:
        labels.append(store, LabelRow(case_id=number, value="well"), "tester")
    unread = [_add(store, number, state="ready") for number in range(6, 10)]
    settings.put(store, {"test_share": 1.0}, "tester")
    kept.look(store, LookRow(test_set=_frozen.test_set(store), model_id=None, by="tester"))
    assert _frozen.renew(store, "tester") == len(unread)
    rows = {row.id: row for row in studies.many(store, [*old, *read, *unread])}
    assert [number for number in rows if rows[number].frozen] == unread
    assert all(rows[number].blind for number in unread)
    assert kept.looked(store, _frozen.test_set(store)) == 0
    assert kept.looked(store, "draw-0") == 1
    assert audit.verify(store) == []


def test_the_course_of_cases_and_weeks(store: Store) -> None:
    model = kept.add(store, ModelRow(name="m", path="models/m", family="classical"), "tester")
    kept.decide(store, PromotionRow(champion_id=None, challenger_id=model.id, decision="promoted", by="tester"), "tester")
    first = _add(store, 0, site="north", scanner="A", state="ready", arrived=now() - timedelta(days=20))
    _add(store, 1, site="north", arrived=now() - timedelta(days=900))
    proposal = proposals.append(store, [ProposalRow(case_id=first, model_id=model.id, label="sick", confidence=0.9)], "tester")[0]
    reviews.commit(store, ReviewRow(case_id=first, author="r", action="correct", value="well", proposal_id=proposal))
    (came,) = _course.course(store, kept.champion(store), now() - timedelta(days=400))
    assert (came.id, came.label, came.agreed, came.unlike) == (first, "sick", False, False)
    assert list(came.places()) == ["everywhere", "site north", "scanner A"]
    weeks = _course.by_week([came])
    assert [(row["where"], row["cases"], row["agreement"]) for row in weeks] == [
        ("everywhere", 1, 0.0),
        ("scanner A", 1, 0.0),
        ("site north", 1, 0.0),
    ]
