"""The way in, shared by all verbs that read images: find them, decode each once, find copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medloop import labels, prep, prepared, readers
from medloop.compute import Compute
from medloop.dataset import duplicates
from medloop.dataset.duplicates import Pair
from medloop.errors import InputError
from medloop.labels import Using
from medloop.loop._clock import Clock
from medloop.prep import MainKind
from medloop.prepared import Survey
from medloop.progress import QUIET, Progress
from medloop.readers import Channels, Collection
from medloop.requests import PredictRequest, SourceRequest
from medloop.types import ImageRef, Rejected, Step
from medloop.workspace import Workspace

Planner = Callable[[Sequence[ImageRef]], tuple[Step, ...]]
Sorter = Callable[[Sequence[ImageRef]], MainKind]
_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a verb works with."""

    workspace: Workspace
    compute: Compute
    clock: Clock
    tell: Progress = QUIET


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Images once every one has been decoded.

    ``pairs``: copies, as rows of ``survey``. ``steps``: the preparation. ``rejected``: the images that cannot be used.
    """

    survey: Survey
    pairs: tuple[Pair, ...]
    steps: tuple[Step, ...]
    rejected: tuple[Rejected, ...]


def collect(
    request: SourceRequest | PredictRequest,
    means: Means,
    *,
    channels: Channels | None = None,
    keep: bool = True,
    empty: bool = False,
) -> Collection:
    """Find images by their headers; several files make one as ``channels``, or else the request, says. Raises `InputError`.

    With ``keep`` the next time opens only files that changed. ``empty``: no image at all is no error.
    """
    channels = channels or Channels.of(*readers.channels_of(request.src, request.channels, request.case_by))
    masks = None
    if isinstance(request, SourceRequest):
        masks = request.masks
        labels.check(request)
    cache = means.workspace.cache if keep else None
    with means.clock.stage("scan"):
        found = readers.collect(
            request.src, images=request.images, masks=masks, cache=cache, empty=empty, compute=means.compute, tell=means.tell
        )
        if channels is None or not found.refs:
            return found
        return readers.join(found, channels, cache=cache, compute=means.compute, tell=means.tell)


def labels_with(means: Means) -> Using:
    """With what label files are opened, keeping what was seen in them."""
    return Using(compute=means.compute, cache=means.workspace.cache, tell=means.tell)


def look(
    refs: Sequence[ImageRef],
    plan: Planner | None,
    means: Means,
    *,
    kind: Sorter = prep.main_kind,
    copies: bool = True,
    pictures: bool = True,
) -> Seen:
    """Decode every image once; note the facts of its picture (with ``pictures``) and find copies (with ``copies`` too).

    ``plan`` gives the preparation for the images that ``kind`` keeps (of the kind that most are); the others are left out. None:
    pictures are looked at, not prepared. Raises `InputError` where pictures are to be prepared and none can be used.
    """
    left_out: list[Rejected] = []
    steps: tuple[Step, ...] = ()
    if plan is not None:
        found = kind(refs)
        left_out = [Rejected(refs[at].name, why) for at, why in found.left_out]
        refs = [refs[at] for at in found.kept]
        steps = plan(refs)
    with means.clock.stage("survey"):
        survey = prepared.survey(
            refs, cache=means.workspace.cache, steps=steps or None, compute=means.compute, tell=means.tell, pictures=pictures
        )
    if plan is not None and not survey.refs:
        raise _none_usable([*left_out, *survey.rejected])
    pairs: tuple[Pair, ...] = ()
    if copies and pictures:
        with means.clock.stage("duplicates"):
            pairs = tuple(duplicates.find(survey.pictures, survey.refs, compute=means.compute, tell=means.tell))
    return Seen(survey=survey, pairs=pairs, steps=steps, rejected=(*left_out, *survey.rejected))


def _none_usable(rejected: Sequence[Rejected]) -> InputError:
    paths: dict[str, list[str]] = {}
    for each in rejected:
        paths.setdefault(each.reason, []).append(each.path)
    told = "; ".join(f"{', '.join(names[:_TOLD])}: {reason}" for reason, names in list(paths.items())[:_TOLD])
    more = "; and more" if max(len(paths), *map(len, paths.values())) > _TOLD else ""
    count = "The image cannot" if len(rejected) == 1 else f"None of the {len(rejected)} images can"
    return InputError(
        "no-images",
        got=f"{count} be used. {told}{more}.",
        allowed="Images that can be read, of one kind.",
        fix="Run medloop inspect: it says why each file is not used.",
    )


def unused(count: int) -> list[str]:
    """What is said where so many files or images could not be used."""
    if not count:
        return []
    return [f"{count} {'file or image was' if count == 1 else 'files or images were'} not used; medloop inspect says why."]
