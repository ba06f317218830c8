"""Let a model propose a label for every study that waits, and say of each proposal whether a person must decide.

A proposal may be pre-filled only where its confidence keeps the department's promise (`medloop.evaluation.selective`), the picture
looks like those the model learnt from, and the studies that come now, taken together, do so too. Cases of the frozen test set get
no proposal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from medloop import families, prepared
from medloop.compute import Compute
from medloop.dataset import appearance
from medloop.dataset.appearance import Appearance
from medloop.errors import Refused, unknown_name
from medloop.evaluation.selective import Promise
from medloop.evaluation.shift import FEWEST, Shift
from medloop.families import Finder, Model
from medloop.loop import _shift, findings
from medloop.loop._clock import Clock
from medloop.loop._intake import Means
from medloop.loop._learnt import Learnt, read_learnt
from medloop.loop._nearest import Confirmed
from medloop.loop._promise import promise_of
from medloop.loop._records import opened
from medloop.loop._runs import find_model
from medloop.loop._standards import Standards, mapping_of
from medloop.loop._summary import summary
from medloop.loop._unlike import Usual
from medloop.prepared import Survey
from medloop.progress import QUIET, Progress
from medloop.requests import ProposeRequest, ProposeResult
from medloop.store import Store, arrivals, models, proposals, settings, studies
from medloop.store.records import ModelRow, ProposalRow, StudyRow
from medloop.store.studies import Filter
from medloop.types import Findings, ImageRef, Json, Prediction, Target, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace

ACTOR = "propose"
_BATCH, _AT_ONCE = 128, 16
"""Studies that are answered together, and proposals of one transaction: readers wait while it is written."""
_WINDOW = 400
"""So many of the newest studies are compared with those learnt from."""
_SEEN = ("ready", "proposed", "reading", "done", "second-look", "adjudication")
_OPEN = ("ready", "proposed")


def propose(workspace: Workspace, request: ProposeRequest, tell: Progress = QUIET) -> ProposeResult:
    """Propose for every study that waits. Raises `InputError`, and `Refused` where there is no model to do so."""
    with opened(workspace, request.database, request.blobs) as records:
        return propose_ready(records, request, tell)


def propose_ready(records: Store, request: ProposeRequest, tell: Progress = QUIET) -> ProposeResult:
    """As `propose`, in a store that is open already. What was proposed for is kept as the work goes on."""
    clock = Clock()
    workspace = Workspace(records.root).ready()
    arrivals.settle(records, float(settings.get(records, "quiet_s")), ACTOR)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        proposer = _proposer(records, request, means)
        decisions: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        with tell.task("Proposing") as tick:
            for rows in _waiting(records, proposer.model_id, request):
                made = proposer.batch(rows)
                for start in range(0, len(made), _AT_ONCE):
                    proposals.append(records, made[start : start + _AT_ONCE], ACTOR)
                decisions.update(each.decision for each in made)
                labels.update(each.label for each in made if each.label)
                tick(len(made))
    promise = proposer.promise
    return ProposeResult(
        model=proposer.name,
        cases=sum(decisions.values()),
        accept=decisions["accept"],
        person=decisions["person"],
        unlike=decisions["unlike"],
        promise={name: to_json(getattr(promise, name)) for name in ("rate", "confidence", "threshold", "share", "bound", "why")},
        shift=_shift.told(proposer.shift, "new"),
        labels=dict(labels.most_common()) if proposer.model.target.kind is not TargetKind.NUMBER else {},
        warnings=proposer.warnings(),
        seconds=round(clock.seconds, 2),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposer:
    """A model at work: what it learnt from, what is promised of it, and what the studies of now look like."""

    records: Store
    means: Means
    name: str
    model_id: int
    model: Model
    learnt: Learnt
    promise: Promise
    usual: Usual | None
    shift: Shift | None
    recent: int
    standards: Standards

    @cached_property
    def confirmed(self) -> Confirmed:
        """Cases to show beside new ones; looked for once there is a new one."""
        return Confirmed.of(self.records, self.model, self.usual, self.means)

    def batch(self, rows: Sequence[StudyRow]) -> list[ProposalRow]:
        """A proposal for each study, in their order."""
        refs = [findings.images_of(row, self.records) for row in rows]
        odd = self._odd(refs)
        fit = [at for at in range(len(rows)) if at not in odd]
        seen = prepared.survey(
            [refs[at] for at in fit],
            cache=self.means.workspace.cache,
            steps=self.model.preparation,
            compute=self.means.compute,
            tell=QUIET,
        )
        rejected = {each.path: each.reason for each in seen.rejected}
        odd |= {at: f"it cannot be used: {rejected[refs[at].name]}" for at in fit if refs[at].name in rejected}
        made = {at: self._unlike(rows[at], why) for at, why in odd.items()}
        if seen.refs:
            made |= dict(zip([fit[at] for at in seen.kept.tolist()], self._answers(rows, fit, seen), strict=True))
        return [replace(made[at], summary=summary(made[at])) for at in range(len(rows))]

    def warnings(self) -> list[str]:
        """What must be told with the proposals: why nothing is promised."""
        if self.promise.threshold is None:
            return [self.promise.why]
        doubt = self._doubt()
        return [doubt] if doubt else []

    def _odd(self, refs: Sequence[ImageRef]) -> dict[int, str]:
        """Studies of another kind than those learnt from, and why nothing can be said of them."""
        odd = dict(self.learnt.kind(refs).left_out)
        for at, ref in enumerate(refs):
            if self.learnt.modalities and ref.modality is not None and ref.modality not in self.learnt.modalities:
                odd.setdefault(at, f"it is {ref.modality}, while the model learnt from {', '.join(self.learnt.modalities)}")
            if self.learnt.colour is not None and ref.colour != self.learnt.colour:
                words = ("in grey", "colour") if self.learnt.colour else ("in colour", "grey")
                odd.setdefault(at, f"it is {words[0]}, while the model learnt from {words[1]} images")
        return odd

    def _answers(self, rows: Sequence[StudyRow], fit: Sequence[int], seen: Survey) -> Iterator[ProposalRow]:
        arrays = seen.arrays
        if arrays is None:
            raise ValueError("nothing was prepared")
        names = [ref.name for ref in seen.refs]
        looks = appearance.appearance(seen.pictures, np.arange(len(seen.refs)))
        far = np.zeros(len(names)) if self.usual is None else self.usual.unlikeness(looks)
        compute, cache = self.means.compute, self.means.workspace.cache
        said = None
        if not self.model.target.kind.structured:
            said = self.model.predict(arrays, cases=names, compute=compute, cache=cache)
        found = self._found(seen, names)
        near = self.confirmed.nearest(self.model, arrays, looks, compute)
        for at, (ref, place, finding) in enumerate(zip(seen.refs, seen.kept.tolist(), found, strict=True)):
            row = rows[fit[place]]
            neighbours = [each for each in near[at] if each["case_id"] != row.id][: self.confirmed.shown]
            if far[at] > 1:
                why = f"it looks unlike every picture learnt from ({far[at]:.1f} times as far as is usual)"
                yield replace(self._unlike(row, why), unlikeness=float(far[at]), nearest=neighbours)
                continue
            yield self._made(row, said, at, self._kept(finding, ref), float(far[at]), neighbours)

    def _found(self, seen: Survey, names: Sequence[str]) -> Iterator[Findings | None]:
        further = tuple(getattr(self.model, "further", ()))
        if not further:
            return iter([None] * len(names))
        geometry = prepared.geometry_of(seen, compute=self.means.compute)
        assert seen.arrays is not None
        return cast(Finder, self.model).find(
            seen.arrays, geometry, cases=names, compute=self.means.compute, cache=self.means.workspace.cache
        )

    def _kept(self, found: Findings | None, ref: ImageRef) -> dict[str, Json]:
        if found is None:
            return {}
        return findings.kept(found, ref, findings.Kinds.of(getattr(self.model, "further", ())), self.records)

    def _made(
        self,
        row: StudyRow,
        said: Prediction | None,
        at: int,
        found: dict[str, Json],
        unlikeness: float,
        nearest: list[dict[str, Any]],
    ) -> ProposalRow:
        target = self.model.target
        label, confidence, probabilities = "", None, {}
        if said is not None:
            label = said.labels[at]
            confidence = None if np.isnan(said.confidence[at]) else float(said.confidence[at])
            if target.kind is not TargetKind.NUMBER:
                probabilities = dict(zip(target.classes, map(float, said.probabilities[at]), strict=True))
        decision, why = self._decided(confidence, found)
        return ProposalRow(
            case_id=row.id,
            model_id=self.model_id,
            label=label,
            confidence=confidence,
            probabilities=probabilities,
            decision=decision,
            why=why,
            standards=self.standards.of(_named(label, found)),
            findings=found,
            nearest=nearest,
            priority=_doubtful(target, probabilities),
            unlikeness=unlikeness,
        )

    def _decided(self, confidence: float | None, found: Mapping[str, Json]) -> tuple[str, str]:
        """Whether it may stand without a person, and why or why not."""
        doubt = self._doubt()
        if doubt:
            return "person", doubt
        if self.promise.threshold is None or confidence is None:
            return "person", self.promise.why
        if found.get("violations"):
            return "person", "What was found breaks a rule."
        if confidence < self.promise.threshold:
            return (
                "person",
                f"It is less sure than {self.promise.threshold:.3g}, from where at most {self.promise.rate:.3g} are wrong.",
            )
        return "accept", self.promise.why

    def _doubt(self) -> str:
        """Why nothing may be promised of the studies of now; empty where nothing speaks against it."""
        if self.shift is not None:
            return f"No promise is given. {self.shift.says('new')}" if self.shift.alarm else ""
        if self.learnt.looks is None:
            return "No promise is given: nothing is kept of how the images looked that the model learnt from."
        return (
            f"No promise is given yet: new studies of {self.recent} patients are too few to tell whether they look like those "
            f"learnt from; it takes {FEWEST}."
        )

    def _unlike(self, row: StudyRow, why: str) -> ProposalRow:
        said = f"Too unlike what the model learnt from: {why}."
        return ProposalRow(
            case_id=row.id, model_id=self.model_id, label="", decision="unlike", why=said, priority=0.5, unlikeness=99.0
        )


def _proposer(records: Store, request: ProposeRequest, means: Means) -> Proposer:
    row, place = _model(records, request.model)
    model, learnt = families.load(place), read_learnt(place)
    chosen = settings.every(records)
    fresh = None if row is None or "fresh" not in row.card else {f"case-{number}" for number in row.card["fresh"]}
    run = place.parent if place.name == "model" else place
    every = (*model.target.classes, *(name for each in getattr(model, "further", ()) for name in each.classes))
    standards = mapping_of(request.mapping or _text(chosen["mapping"])).checked(every)
    usual = Usual.of(learnt.each or learnt.looks)
    shift, recent = _recent(records, learnt, means)
    return Proposer(
        records=records,
        means=means,
        name=run.name if row is None else row.name,
        model_id=0 if row is None else row.id,
        model=model,
        learnt=learnt,
        promise=promise_of(run, model.target, float(chosen["error_rate"]), float(chosen["confidence"]), fresh),
        usual=usual,
        shift=shift,
        recent=recent,
        standards=standards,
    )


def _model(records: Store, name: str | None) -> tuple[ModelRow | None, Path]:
    """The model asked for, as the store knows it (None: it does not), and its folder."""
    every = models.every(records)
    if name is None:
        row = models.champion(records)
        if row is None:
            raise Refused(
                "no-champion",
                got="No model has been promoted yet, so nothing can be proposed.",
                allowed="A store with a champion, or --model RUN.",
                fix="Learn from the labels there are (medloop retrain) and promote the model (medloop promote).",
            )
        return row, findings.folder_of(records, row.id)
    for row in every:
        if name in (row.name, str(row.id)):
            return row, findings.folder_of(records, row.id)
    if name.isdigit():
        raise unknown_name("model", name, (row.name for row in every))
    return None, find_model(Workspace(records.root), name)


def _waiting(records: Store, model_id: int, request: ProposeRequest) -> Iterator[list[StudyRow]]:
    """Studies outside the frozen test set that nobody has read and this model has not proposed for, some at a time."""
    left, after = request.limit, None
    while left is None or left > 0:
        page = studies.page(records, "arrival", Filter(states=_OPEN, frozen=False), _BATCH, after, refs=True)
        done = {} if request.again else proposals.latest(records, [row.id for row in page.rows], model_id)
        rows = [row for row in page.rows if row.id not in done and row.refs][:left]
        if rows:
            yield rows
        left = None if left is None else left - len(rows)
        after = page.after
        if after is None:
            return


def _recent(records: Store, learnt: Learnt, means: Means) -> tuple[Shift | None, int]:
    """How the newest studies that were not learnt from differ from those that were, and of how many patients they are."""
    if learnt.looks is None:
        return None, 0
    page = studies.page(records, "newest", Filter(states=_SEEN), _WINDOW, refs=True)
    rows = [row for row in page.rows if row.refs and row.refs[0].digest not in learnt.pictures]
    refs = [findings.images_of(row, records) for row in rows]
    kept = set(learnt.kind(refs).kept)
    rows, refs = ([each[at] for at in sorted(kept)] for each in (rows, refs))  # type: ignore[assignment]
    seen = prepared.survey(refs, cache=means.workspace.cache, steps=None, compute=means.compute)
    whose = [rows[at].patient or f"study {rows[at].id}" for at in seen.kept.tolist()]
    if not whose:
        return None, 0
    _, member = np.unique(np.array(whose, dtype=np.str_), return_inverse=True)
    here: Appearance = _shift.looks_of(seen.pictures, np.arange(len(whose)), member)
    return _shift.between(learnt.looks, here), len(here)


def _named(label: str, found: Mapping[str, Json]) -> list[str]:
    """The classes that a proposal names: of the label, and of what is found."""
    names = label.split("|") if label else []
    boxes = found.get("boxes", {})
    names += [boxes["classes"][each["class"]] for each in boxes.get("boxes", ())]
    counts = {each["name"]: each["value"] for each in found.get("measures", ())}
    names += [name for name in found.get("mask", {}).get("classes", ()) if counts.get(f"{name} count", 0) > 0]
    return list(dict.fromkeys(names))


def _doubtful(target: Target, probabilities: Mapping[str, float]) -> float:
    """From 0 (sure) to 1 (as unsure as can be): the entropy of the answer, of several labels that of the least sure."""
    if not probabilities:
        return 0.5
    values = np.clip(np.array(list(probabilities.values())), 1e-12, 1)
    if target.kind is TargetKind.MULTILABEL:
        other = np.clip(1 - values, 1e-12, 1)
        return float(np.max(-(values * np.log2(values) + other * np.log2(other))))
    return float(-(values * np.log(values)).sum() / np.log(len(values)))


def _text(said: Json) -> str | None:
    return said if isinstance(said, str) else None
