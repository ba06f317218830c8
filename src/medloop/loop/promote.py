"""Judge a challenger beside the champion on the frozen test cases, and promote it if the gate lets it through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medloop import families
from medloop.errors import InputError, Refused
from medloop.evaluation.gate import Decision, Rules
from medloop.families import Model
from medloop.loop import _drawn, _frozen, _records
from medloop.loop._card import write_card
from medloop.loop._clock import Clock
from medloop.loop._frozen import Frozen
from medloop.loop._judging import Judgement, answers_of, judge
from medloop.loop._learnt import read_learnt
from medloop.loop._models import model_of, newest
from medloop.loop._pictures import shower
from medloop.loop.predict import further_of
from medloop.loop.retrain import folder_of
from medloop.progress import QUIET, Progress
from medloop.reporting.comparison_part import page
from medloop.reporting.sheets import data_uri
from medloop.requests import PromoteRequest, PromoteResult
from medloop.store import Store, models, settings, studies
from medloop.store.records import LookRow, ModelRow, PromotionRow
from medloop.types import Json, Target
from medloop.workspace import Workspace, asked_for, write_text

_FIRST = "There is no champion to compare with: the first model proposes, and people decide."
_LIKE_GUESSING = "It is not shown to be better than guessing on the cases held out from its training."


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What was decided, and what is known of it. ``look`` None: the test set was not looked at."""

    decision: str
    reasons: tuple[str, ...]
    evidence: dict[str, Json] = field(default_factory=dict)
    look: int | None = None
    forced: bool = False


def promote(workspace: Workspace, request: PromoteRequest, tell: Progress = QUIET) -> PromoteResult:
    """Judge and promote. Raises `InputError` for wrong input, and `Refused` (exit 3) where the gate does not let it through, unless
    ``auto`` is asked for: then the verdict is the answer."""
    clock = Clock()
    if request.force and not request.reason.strip():
        raise InputError(
            "no-reason", got="--force without --reason.", allowed="--force --reason 'WHY'.", fix="Say why; it is recorded."
        )
    out = asked_for(request.out)
    workspace.ready()
    with _records.opened(workspace, request.database, request.blobs) as opened:
        challenger = model_of(opened, request.challenger) if request.challenger else newest(models.every(opened), "challenger")
        champion = models.champion(opened)
        if champion is not None and champion.id == challenger.id:
            raise InputError(
                "is-champion",
                got=f"{champion.name} is the champion already.",
                allowed="Another model of the store.",
                fix="See medloop models.",
            )
        drawn = _renewed(opened, request)
        said = _say(workspace, opened, champion, challenger, request, tell)
        said = replace(said, reasons=(*drawn, *said.reasons))
        _decide(workspace, opened, champion, challenger, request, said)
        allowed = int(settings.get(opened, "looks_allowed"))
        if out is not None:
            told = said.evidence | {"decision": said.decision, "reasons": list(said.reasons)}
            write_text(out, page(told, lambda case: _picture(opened, case)))
    result = _result(challenger, champion, said, allowed, None if out is None else str(out), clock.seconds)
    if said.decision != Decision.PROMOTED and not request.auto:
        raise _refused(result)
    return result


def _renewed(opened: Store, request: PromoteRequest) -> tuple[str, ...]:
    """Draw a new test set if asked for, and say so."""
    if not request.renew:
        return ()
    count = _frozen.renew(opened, request.by)
    return (f"A new test set was drawn, of {count} cases so far and of a share of those to come; they must be read first.",)


def _say(
    workspace: Workspace, opened: Store, champion: ModelRow | None, challenger: ModelRow, request: PromoteRequest, tell: Progress
) -> _Said:
    if request.force:
        folder_of(workspace, challenger)
        return _Said(
            Decision.PROMOTED.value, (f"Forced: {request.reason.strip()}",), _last_evidence(opened, challenger), forced=True
        )
    passed = None if request.auto or champion is None else _passed(opened, champion, challenger)
    if passed is not None:
        confirmed = f"The gate let it through on {passed.time:%Y-%m-%d}; confirmed by {request.by}."
        return _Said(Decision.PROMOTED.value, (confirmed, *passed.evidence["verdict"]["reasons"]), dict(passed.evidence))
    said = _first(challenger) if champion is None else _compared(workspace, opened, champion, challenger, request, tell)
    if request.auto and said.decision == Decision.PROMOTED and not settings.get(opened, "auto_promote"):
        asks = "The gate lets it through; the department wants a person to confirm that."
        return replace(said, decision=Decision.NEEDS_PERSON.value, reasons=(asks, *said.reasons))
    return said


def _first(challenger: ModelRow) -> _Said:
    """The first model is judged by its own report: a look at the test set would tell nothing that could be compared."""
    figures = challenger.card.get("test", {})
    for name, nothing in (("auc", 0.5), ("r2", 0.0)):
        low = (figures.get(name) or {}).get("low")
        if low is not None and low <= nothing:
            return _Said(Decision.REFUSED.value, (_LIKE_GUESSING,))
    return _Said(Decision.PROMOTED.value, (_FIRST,))


def _compared(
    workspace: Workspace, opened: Store, champion: ModelRow, challenger: ModelRow, request: PromoteRequest, tell: Progress
) -> _Said:
    pair = (champion, challenger)
    answered = [_answered(families.load(folder_of(workspace, row))) for row in pair]
    if why := _incomparable(*answered):
        return _Said(Decision.NEEDS_PERSON.value, (why,))
    rules = rules_of(opened)
    learnt = [(row, read_learnt(folder_of(workspace, row))) for row in pair]
    sets = [_frozen.unseen(_frozen.frozen_cases(opened, target), learnt) for target in answered[0]]
    test_set = sets[0].test_set
    if models.looked(opened, test_set) >= rules.looks_allowed:
        used_up = f"The test set has been looked at {rules.looks_allowed} times, as often as is allowed: draw a new one (--renew)."
        return _Said(Decision.NEEDS_PERSON.value, (used_up,))
    if scarce := [each for each in sets if not _enough(each, rules)]:
        few = tuple(_few(each, len(sets) > 1) for each in scarce)
        return _Said(Decision.NEEDS_PERSON.value, few, {"left_out": dict(scarce[0].left_out), "cases": len(scarce[0])})
    look = models.look(opened, LookRow(test_set=test_set, model_id=challenger.id, by=request.by, why="promotion"))
    told = [answers_of(workspace, row, sets, request.workers, tell) for row in pair]
    found: Judgement = judge(sets, pair, told, rules, look)
    return _Said(found.verdict.decision.value, found.verdict.reasons, found.evidence, look)


def _answered(model: Model) -> tuple[Target, ...]:
    """What a model answers that can be judged on test cases, the main target first: classes or a number, outlines, boxes."""
    drawn = [each for each in further_of(model) if each.kind in _drawn.KINDS and each != model.target]
    return (model.target, *drawn)


def _incomparable(champion: Sequence[Target], challenger: Sequence[Target]) -> str:
    """Why the two cannot be compared; empty where they can. A challenger may answer more than the champion does."""
    main = champion[0]
    if main != challenger[0] or (main.kind.structured and main.kind not in _drawn.KINDS):
        return "The two models answer different questions, or such as have no one figure."
    missing = [each.name for each in champion if each not in challenger]
    return f"The challenger does not answer all that the champion does: {', '.join(missing)}." if missing else ""


def _enough(frozen: Frozen, rules: Rules) -> bool:
    """Whether a look could tell anything: that is known from the labels alone, and spares the look."""
    sides = 1 if frozen.target.kind.structured else 2
    return len(set(frozen.patients.tolist())) >= sides * rules.patients


def _few(frozen: Frozen, several: bool) -> str:
    of = f" of {frozen.target.name}" if several else ""
    return f"Too few test cases to tell{of}: {len(frozen)} labelled ones, read blind. It was not looked at them."


def rules_of(opened: Store) -> Rules:
    """The gate's rules as the department chose them."""
    return Rules(looks_allowed=int(settings.get(opened, "looks_allowed")), margin=float(settings.get(opened, "margin")))


def _passed(opened: Store, champion: ModelRow, challenger: ModelRow) -> PromotionRow | None:
    """The last decision about both, if the gate let the challenger through and a person was to confirm it: no second look."""
    both = (row for row in models.decisions(opened) if (row.champion_id, row.challenger_id) == (champion.id, challenger.id))
    last = next(both, None)
    passed = last is not None and (last.evidence.get("verdict") or {}).get("decision") == Decision.PROMOTED
    return last if passed and last is not None and last.decision == Decision.NEEDS_PERSON else None


def _last_evidence(opened: Store, challenger: ModelRow) -> dict[str, Json]:
    """What an earlier judgement of this model found."""
    rows = (row for row in models.decisions(opened) if row.challenger_id == challenger.id and row.evidence)
    return next((dict(row.evidence) for row in rows), {})


def _decide(
    workspace: Workspace, opened: Store, champion: ModelRow | None, challenger: ModelRow, request: PromoteRequest, said: _Said
) -> None:
    """Keep the decision; who is champion changes in the same transaction. Then both cards say what is so now."""
    row = PromotionRow(
        champion_id=None if champion is None else champion.id,
        challenger_id=challenger.id,
        decision=said.decision,
        by=request.by,
        reason=" ".join(said.reasons),
        forced=said.forced,
        evidence=said.evidence,
    )
    models.decide(opened, row, request.by)
    for each in (champion, challenger):
        if each is not None:
            write_card(workspace, opened, each.id)


def _picture(opened: Store, case_id: int) -> str | None:
    """The first image of a case as it is shown."""
    found = shower(studies.local(opened, studies.get(opened, case_id)).refs[:1])(0)
    return None if found is None else data_uri(found)


def _result(
    challenger: ModelRow, champion: ModelRow | None, said: _Said, allowed: int, page_: str | None, seconds: float
) -> PromoteResult:
    verdict = said.evidence.get("verdict") or {}
    return PromoteResult(
        decision=said.decision,
        forced=said.forced,
        challenger=challenger.id,
        name=challenger.name,
        champion=None if champion is None else champion.name,
        reasons=list(said.reasons),
        gain=verdict.get("gain"),
        groups=list(verdict.get("groups") or []),
        look=said.look,
        looks_allowed=allowed,
        cases=int(said.evidence.get("cases") or 0),
        patients=int(said.evidence.get("patients") or 0),
        left_out=dict(said.evidence.get("left_out") or {}),
        page=page_,
        seconds=round(seconds, 2),
    )


def _refused(result: PromoteResult) -> Refused:
    where = f" The comparison is in {result.page}." if result.page else ""
    return Refused(
        f"gate-{result.decision}",
        got=" ".join(result.reasons) + where,
        allowed="A challenger that is surely better on the frozen test cases and worse for nobody by more than the margin.",
        fix=f"Add labels and retrain, or decide yourself: medloop promote {result.challenger} --force --reason 'WHY'.",
    )
