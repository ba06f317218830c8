"""Take images, and the labels they come with, into the store: from a folder, a file, an archive, an upload; once, or as they come.

A study is known by its content, so taking it again changes nothing, and a command that was killed is simply given again. Images
are copied into the store's blobs: the source may go away afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medloop import labels
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.labels import Labelled, patient_of
from medloop.loop import _drawn
from medloop.loop._arrivals import Taken, Taking, earlier, take
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, collect, labels_with
from medloop.loop._records import opened
from medloop.loop._staging import link, staged
from medloop.loop._unpack import is_archive
from medloop.progress import QUIET, Progress
from medloop.readers import Collection
from medloop.requests import IngestRequest, IngestResult
from medloop.store import Store, arrivals, settings, studies
from medloop.store.arrivals import UNREAD
from medloop.types import ImageRef, Rejected
from medloop.wire import to_json
from medloop.workspace import Workspace

ACTOR = "ingest"
EARLIER = "came-before"
Stop = Callable[[], bool]


def ingest(workspace: Workspace, request: IngestRequest, tell: Progress = QUIET) -> IngestResult:
    """Take what is in the source; with ``watch`` go on until stopped. Raises `InputError`."""
    with opened(workspace, request.database, request.blobs) as records:
        if request.watch:
            return watch(records, request, tell)
        source = Path(request.src).expanduser()
        if not is_archive(source):
            return _once(records, request, tell)
        with staged(workspace, [source]) as (folder, rejected):
            return _once(records, replace(request, src=str(folder)), tell, rejected=rejected, called=source.name)


def ingest_files(
    records: Store,
    paths: Sequence[Path],
    actor: str,
    *,
    names: Sequence[str] | None = None,
    quiet_s: float | None = None,
    tell: Progress = QUIET,
) -> IngestResult:
    """Take uploaded files, archives too. A study waits for more of its files for ``quiet_s`` (default: the setting), then is ready.

    ``names``: what their sender called them. Nothing usable among them is no error: ``rejected`` says why.
    """
    workspace = Workspace(records.root)
    quiet_s = float(settings.get(records, "quiet_s")) if quiet_s is None else quiet_s
    with staged(workspace, paths, names) as (folder, rejected):
        request = IngestRequest(src=str(folder), workers=0)
        called = f"{len(paths)} uploaded files"
        _join_earlier(records, request, folder)
        done = _once(records, request, tell, rejected=rejected, called=called, actor=actor, settled=quiet_s <= 0, empty=True)
        own = [each for each in done.rejected if not each["path"].startswith(EARLIER)]
        return replace(done, rejected=own, files=done.files + len(rejected))


def _join_earlier(records: Store, request: IngestRequest, folder: Path) -> None:
    """Beside uploaded files of a series those of its files that came before, so that the series is put together whole."""
    means = Means(workspace=Workspace(records.root).ready(), compute=Compute(0), clock=Clock())
    refs = collect(request, means, empty=True, keep=False).refs
    for row in {row.id: row for ref in refs for row in earlier(records, patient_of(ref.patient), ref.study, ref.series)}.values():
        if row.state in UNREAD:
            for file in studies.local(records, row).refs[0].files:
                link(Path(file), folder / EARLIER / Path(file).name)


def watch(records: Store, request: IngestRequest, tell: Progress = QUIET, stop: Stop = lambda: False) -> IngestResult:
    """Look at the folder again and again; take each study once none of its files has come or changed for the quiet time.

    ``stop`` is asked between looks. Being killed loses nothing: what was not taken yet is found again. Raises `InputError`.
    """
    folder = Path(request.src).expanduser()
    if not folder.is_dir():
        raise InputError(
            "not-a-folder", got=f"--watch, and {folder} is no folder.", allowed="A folder.", fix="Name the folder that fills."
        )
    quiet_s = float(settings.get(records, "quiet_s")) if request.quiet is None else request.quiet
    clock, still, total, batch, told = Clock(), _Still(quiet_s), Taken(), _batch(), 0
    taking = Taking(store=records, actor=ACTOR, batch=batch, urgency=request.urgency)
    found = None
    tell.say(f"Watching {folder}; a study is taken {quiet_s:g} s after its last file.")
    with Compute(request.workers) as compute:
        means = Means(workspace=Workspace(records.root).ready(), compute=compute, clock=clock, tell=QUIET)
        while not stop():
            found = collect(request, means, empty=True)
            still.labels_of(request)
            if ready := still.ready(found.refs):
                labelled = _labels(found, request, means, tell)
                taken = _take(ready, labelled, means, taking)
                still.over |= {ref.stamp for ref in ready}
                _add(total, taken)
                tell.say(f"{len(taken.fresh)} new studies, {taken.known} known, {len(taken.rejected)} not usable.")
            if len(found.rejected) > told:
                tell.say(f"{len(found.rejected)} files in the folder are not used; the last: {found.rejected[-1].reason}.")
            told = len(found.rejected)
            arrivals.settle(records, quiet_s, ACTOR)
            _sleep(request.every, stop)
    return _result(folder.name, batch, found, total, [], clock, still.waiting)


def _once(
    records: Store,
    request: IngestRequest,
    tell: Progress,
    *,
    rejected: Sequence[Rejected] = (),
    called: str | None = None,
    actor: str = ACTOR,
    settled: bool = True,
    empty: bool = False,
) -> IngestResult:
    clock, batch = Clock(), _batch()
    workspace = Workspace(records.root).ready()
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means, empty=empty)
        taking = Taking(store=records, actor=actor, batch=batch, settled=settled, urgency=request.urgency)
        taken = _take(collection.refs, _labels(collection, request, means), means, taking)
    waiting = 0 if settled else len(taken.fresh)
    return _result(called or Path(request.src).name, batch, collection, taken, rejected, clock, waiting)


def _take(refs: Sequence[ImageRef], labelled: Labelled | None, means: Means, taking: Taking) -> Taken:
    if labelled is not None:
        _aim(taking.store, labelled, taking.actor)
    return take(refs, labelled, means, taking)


def _labels(collection: Collection, request: IngestRequest, means: Means, tell: Progress | None = None) -> Labelled | None:
    """The labels that were named, or that the source carries. What was named and cannot be read is an error; while a folder is
    watched (``tell``) it is said, for the images it names may be still to come."""
    try:
        return labels.find(collection, request, labels_with(means)) if collection.refs else None
    except InputError as error:
        if tell is not None:
            tell.say(f"No labels are taken: {error.got}")
            return None
        if any(given is not None for given in (request.labels, request.label_columns, request.masks, request.mask_classes)):
            raise
        return None


def _aim(records: Store, labelled: Labelled, actor: str) -> None:
    """The first labels that come say what the department learns, and what readers outline or box."""
    target = labelled.target
    if not target.kind.structured and settings.get(records, "target") is None:
        settings.put(records, {"target": {"kind": target.kind.value, "classes": list(target.classes), "name": target.name}}, actor)
    drawn = {each.target.kind.value: list(each.target.classes) for each in labelled.further if each.target.kind in _drawn.KINDS}
    if drawn and settings.get(records, "drawn") is None:
        settings.put(records, {"drawn": drawn}, actor)


@dataclass(slots=True)
class _Still:
    """Which images are complete: no file of their study has come or changed for ``quiet_s`` seconds.

    Times are counted from when a file was first seen here, for what copies files may date them back.
    """

    quiet_s: float
    first: dict[str, float] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    changed: list[int] = field(default_factory=list)
    waiting: int = 0

    def ready(self, refs: Sequence[ImageRef]) -> list[ImageRef]:
        """The images to take now."""
        moment = time.monotonic()
        fresh = [ref for ref in refs if ref.stamp not in self.over]
        self.first = {ref.stamp: self.first.get(ref.stamp, moment) for ref in fresh}
        last: dict[str, float] = {}
        for ref in fresh:
            last[_study(ref)] = max(last.get(_study(ref), 0.0), self.first[ref.stamp])
        ready = [ref for ref in fresh if moment - last[_study(ref)] >= self.quiet_s]
        self.waiting = len(fresh) - len(ready)
        return ready

    def labels_of(self, request: IngestRequest) -> None:
        """Where the table of labels has changed every image is looked at again: the store knows them, and takes the labels."""
        paths = [Path(each).expanduser() for each in (request.labels or "").split(",") if each.strip()]
        changed = [path.stat().st_mtime_ns for path in paths if path.exists()]
        if changed != self.changed:
            self.changed = changed
            self.over.clear()


def _study(ref: ImageRef) -> str:
    """What must be still together: a study, else the image alone."""
    return f"{ref.patient}\0{ref.study}" if ref.study is not None else ref.name


def _add(total: Taken, more: Taken) -> None:
    total.fresh += more.fresh
    total.numbers += more.numbers
    total.rejected += more.rejected
    total.known += more.known
    total.replaced += more.replaced
    total.labels += more.labels


def _sleep(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.25))


def _batch() -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime())


def _result(
    source: str,
    batch: str,
    collection: Collection | None,
    taken: Taken,
    rejected: Sequence[Rejected],
    clock: Clock,
    waiting: int,
) -> IngestResult:
    every = [*rejected, *(() if collection is None else collection.rejected), *taken.rejected]
    return IngestResult(
        source=source,
        batch=batch,
        files=0 if collection is None else len(collection.files),
        cases=len(taken.numbers),
        fresh=taken.fresh,
        known=taken.known,
        replaced=taken.replaced,
        waiting=waiting,
        labels=taken.labels,
        rejected=[to_json(each) for each in every],
        warnings=[] if collection is None else [*collection.warnings, *collection.notes],
        seconds=round(clock.seconds, 2),
    )
