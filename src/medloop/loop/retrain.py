"""Learn a challenger from the confirmed labels of the store, starting from the champion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as AnyOf
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medloop import families
from medloop.dataset import duplicates
from medloop.dataset._goals import CLASSES
from medloop.errors import InputError
from medloop.families._averaged import with_network
from medloop.families._joint_model import MultitaskModel
from medloop.families._network_model import BACKBONE
from medloop.labels import Labelled
from medloop.loop import _drawn, _records
from medloop.loop._card import write_card
from medloop.loop._carried import with_rules
from medloop.loop._intake import Means, look
from medloop.loop._learnt import Learnt, read_learnt
from medloop.loop._stored import Stored, Wanted, collection_of, frozen_refs, gathered
from medloop.loop.learn import learn_from
from medloop.loop.predict import further_of
from medloop.progress import QUIET, Progress
from medloop.readers import Collection
from medloop.requests import LearnRequest, LearnResult, RetrainRequest, RetrainResult, listed
from medloop.store import Store, models
from medloop.store.records import ModelRow
from medloop.targets.rules import Rules
from medloop.types import ImageRef, Split, Target
from medloop.workspace import Workspace

COPIED, AGAIN = "copy of a frozen case", "the same files again"
MODELS = "models"
ACTOR = "worker"


def retrain(workspace: Workspace, request: RetrainRequest, tell: Progress = QUIET) -> RetrainResult:
    """Learn from every label that a person confirmed or that was imported; save the model as a challenger.

    Labels that only a model gave are no truth, frozen cases and copies of them are never learnt from, and one patient of ten is
    held out of every model of the line to judge by in its own report. Raises `Refused` where there is too little to learn from.
    """
    workspace.ready()
    with _records.opened(workspace, request.database, request.blobs) as opened:
        return _retrained(workspace, opened, request, tell)


def _retrained(workspace: Workspace, opened: Store, request: RetrainRequest, tell: Progress) -> RetrainResult:
    champion = models.champion(opened)
    before = None if champion is None else _Before(workspace, champion)
    wanted = _wanted(request, before)
    stored = gathered(opened, wanted, request.upto)
    left_out = Counter(stored.left_out)
    starts = before is not None and before.has_network and not request.anew
    folder = workspace.fresh(MODELS, "challenger")
    start = str(before.folder) if before is not None and starts else None
    answered = [truth.target for truth in stored.labelled.further]
    asked, notes = with_rules(
        workspace, _asked(request, stored.labelled, folder, start), None if before is None else before.rules, answered
    )

    def source(means: Means) -> tuple[Collection, Labelled]:
        labelled = _without_copies(stored.labelled, frozen_refs(opened), means, left_out)
        return replace(collection_of(labelled, workspace.root), notes=notes), labelled

    learnt = learn_from(source, workspace, asked, tell)
    if not isinstance(learnt, LearnResult):
        raise TypeError("a retraining is no dry run")
    row = models.add(opened, _row(folder, learnt, stored, before if starts else None, left_out), actor=ACTOR)
    write_card(workspace, opened, row.id)
    return RetrainResult(
        challenger=row.id,
        name=row.name,
        parent=row.parent,
        labels=dict(stored.provenance),
        left_out=dict(left_out),
        learn=learnt,
    )


def _wanted(request: RetrainRequest, before: _Before | None) -> Wanted:
    """What is to be learnt: as asked for, or else what the champion answers, or else classes; in the classes of the champion."""
    words = None if request.targets is None else listed(request.targets)
    if before is None:
        return Wanted(None, words is None or CLASSES in words, words or ())
    target, drawn = before.target, before.drawn
    plain = None if target.kind.structured else target
    if words is None:
        return Wanted(plain, plain is not None, drawn)
    known = {word: each for each in drawn for word in (each.kind.value, each.name)}
    return Wanted(plain, CLASSES in words, tuple(known.get(word, word) for word in words))


class _Before:
    """The champion: its folder, what it answers, what it learnt from, whether it has a network to start from,
    and the rules that its answers are held against."""

    def __init__(self, workspace: Workspace, row: ModelRow) -> None:
        self.row = row
        self.folder = folder_of(workspace, row)
        model = families.load(self.folder)
        self.target: Target = model.target
        self.drawn = tuple(each for each in further_of(model) if each.kind in _drawn.KINDS)
        self.rules: Rules | None = getattr(model, "rules", None)
        self.learnt: Learnt = read_learnt(self.folder)
        solid = isinstance(model, MultitaskModel) and model.solid
        self.has_network = not solid and (self.folder / f"{with_network(model)[1]}{BACKBONE}").is_file()


def folder_of(workspace: Workspace, row: ModelRow) -> Path:
    """The folder of a model of the store. Raises `InputError` where it is gone."""
    for path in (workspace.root / row.path / "model", workspace.root / row.path):
        if (path / "model.json").is_file():
            return path
    raise InputError(
        "model-gone",
        got=f"The folder of the model {row.name} is not in the workspace.",
        allowed="A workspace with the folders of its models.",
        fix="Restore the workspace from a backup.",
    )


def _asked(request: RetrainRequest, labelled: Labelled, folder: Path, start: str | None) -> LearnRequest:
    plain = [] if labelled.target.kind.structured else [CLASSES]
    carried = [*plain, *(truth.target.name for truth in labelled.further)]
    return LearnRequest(
        src=str(folder.parents[1]),
        targets=request.targets or ",".join(carried),
        recipe=request.recipe,
        budget=request.budget,
        device=request.device,
        seed=request.seed,
        from_=start,
        out=str(folder),
    )


def _row(folder: Path, learnt: LearnResult, stored: Stored, before: _Before | None, left_out: Counter[str]) -> ModelRow:
    card = {
        "labels": dict(stored.provenance),
        "left_out": dict(left_out),
        "split": learnt.dataset.split,
        "classes": learnt.dataset.classes,
        "test": {name: {"value": each.value, "low": each.low, "high": each.high} for name, each in learnt.test.items()},
        "warnings": learnt.warnings,
    }
    if before is not None:
        card["fresh"] = [int(name.split("-")[1]) for name in _fresh(stored.labelled, before.learnt)]
    return ModelRow(
        name=folder.name,
        path=f"{MODELS}/{folder.name}",
        family=learnt.family,
        parent=None if before is None else before.row.id,
        dataset=learnt.dataset.fingerprint,
        labels_upto=stored.upto,
        card=card,
    )


def _fresh(labelled: Labelled, learnt: Learnt) -> list[str]:
    """Cases that the model whose network was taken up had not learnt from."""
    return [case.name for case in labelled.cases if not any(ref.digest in learnt.pictures for ref in case.images)]


def _without_copies(labelled: Labelled, frozen: Sequence[ImageRef], means: Means, left_out: Counter[str]) -> Labelled:
    """Without cases that show the picture of a frozen one, and with the last of those that are the same files; other copies of one
    picture stay in one part. Counts what is left out."""
    aside = {ref.name for ref in frozen}
    images = [ref for case in labelled.cases for ref in case.images]
    seen = look([*frozen, *images], None, means)
    same = duplicates.groups(seen.pairs, len(seen.survey.refs))
    first: dict[str, int] = {}  # equal pixels that lie in one file too
    group = {ref.name: first.setdefault(ref.digest, int(number)) for ref, number in zip(seen.survey.refs, same, strict=True)}
    barred = {group[name] for name in aside if name in group}
    free = [at for at, case in enumerate(labelled.cases) if not _any_in(case.images, group, barred)]
    newest = {tuple((ref.files, ref.item) for ref in labelled.cases[at].images): at for at in free}
    kept = sorted(newest.values())
    left_out[COPIED] += len(labelled.cases) - len(free)
    left_out[AGAIN] += len(free) - len(kept)
    chosen = replace(
        labelled,
        cases=tuple(labelled.cases[at] for at in kept),
        labels=tuple(labelled.labels[at] for at in kept),
        further=tuple(truth.select(kept) for truth in labelled.further),
    )
    return _together(chosen, group)


def _any_in(refs: Sequence[ImageRef], group: dict[str, int], barred: AnyOf[int]) -> bool:
    return any(group.get(ref.name) in barred for ref in refs)


def _together(labelled: Labelled, group: dict[str, int]) -> Labelled:
    """Patients who share a picture with one that is learnt from are learnt from too: no copy is held out."""
    learnt = [ref.name for case in labelled.cases if case.given_split is not Split.TEST for ref in case.images]
    taught = {group[name] for name in learnt if name in group}
    moved = {case.patient or case.name for case in labelled.cases if _any_in(case.images, group, taught)}
    cases = [replace(case, given_split=Split.TRAIN) if (case.patient or case.name) in moved else case for case in labelled.cases]
    return replace(labelled, cases=tuple(cases))
