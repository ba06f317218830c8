"""Several files of one case as the channels of one image: ``--channels flair='*FLAIR*',t1='*T1_*' --case-by parent``."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medloop import registry
from medloop.compute import Compute
from medloop.errors import InputError, Unreadable
from medloop.progress import QUIET, Progress
from medloop.readers import _walk
from medloop.readers._places import affine, places
from medloop.types import ImageRef, Rejected

if TYPE_CHECKING:
    from medloop.readers import Collection

PARENT = "parent"
_ONE = re.compile(r"""\s*([^=,'"\s]+)\s*=\s*('[^']*'|"[^"]*"|[^,'"]*)\s*(?:,|$)""")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Channels:
    """``globs``: name and pattern of each channel, in order. ``case_by``: what files of one case share, ``parent`` (the folder they
    lie in) or a regular expression whose groups, found in their names, are the case's name.
    """

    globs: tuple[tuple[str, str], ...]
    case_by: str = PARENT

    @classmethod
    def of(cls, channels: str | None, case_by: str | None) -> Channels | None:
        """From the flags; None where no channels are asked for. Raises `InputError` for what makes no sense."""
        if channels is None:
            if case_by is not None:
                raise _wrong(f"--case-by {case_by} without --channels.")
            return None
        globs: list[tuple[str, str]] = []
        at = 0
        while at < len(channels):
            found = _ONE.match(channels, at)
            if found is None or not found[2].strip("'\" "):
                raise _wrong(f"--channels has '{channels[at:]}'.")
            globs.append((found[1], found[2].strip().strip("'\"")))
            at = found.end()
        names = [name for name, _ in globs]
        if not globs or len(set(names)) < len(names):
            twice = [name for name in names if names.count(name) > 1]
            raise _wrong(f"--channels names '{twice[0]}' twice." if twice else "--channels is empty.")
        return cls(tuple(globs), _checked(case_by or PARENT))

    @property
    def names(self) -> tuple[str, ...]:
        """The channels in order."""
        return tuple(name for name, _ in self.globs)

    def in_order_of(self, other: Channels) -> Channels:
        """The same channels in the order of another; as they are where the other has other channels."""
        globs = dict(self.globs)
        same = set(globs) == set(other.names)
        return replace(self, globs=tuple((name, globs[name]) for name in other.names)) if same else self

    def case_of(self, ref: ImageRef) -> str | None:
        """The case of an image: empty where its files lie in no folder, None where the expression does not fit its name."""
        if self.case_by == PARENT:
            path = ref.name.partition("#")[0]
            return path if len(ref.files) > 1 else posixpath.dirname(path)
        found = re.search(self.case_by, ref.name)
        return None if found is None else "/".join(group for group in found.groups() if group)


def join(
    collection: Collection, asked: Channels, *, cache: Path | None = None, compute: Compute, tell: Progress = QUIET
) -> Collection:
    """The collection with one image for each case; what belongs to no channel, or to a case that lacks one, is rejected.

    ``cache``: folder in which it is kept where images lie. Raises `InputError` where no case is whole.
    """
    cases: dict[str, list[ImageRef]] = defaultdict(list)
    left: list[tuple[ImageRef, str]] = []
    for ref in collection.refs:
        case = asked.case_of(ref)
        if not _fits(ref, asked):
            left.append((ref, "no pattern of --channels fits it"))
        elif case is None:
            left.append((ref, f"--case-by '{asked.case_by}' does not fit its name"))
        else:
            cases[case or collection.root.name].append(ref)
    known = places([ref for refs in cases.values() for ref in refs], cache=cache, compute=compute, tell=tell)
    made = []
    for case, refs in cases.items():
        try:
            members = _chosen(refs, asked)
            affines = {name: affine(ref, known) for name, ref in members.items()}
            made.append(registry.load("readers", "channels").reference(case, members, affines))
        except Unreadable as error:
            left += [(ref, f"the case {case} cannot be used: {error}") for ref in refs]
    if not made:
        raise _none_whole(collection, left)
    used = {path for ref in made for path in ref.files}
    spare = {each.path: each for ref, reason in left for each in _told(ref, reason, collection.root, used)}
    return replace(
        collection,
        refs=tuple(made),
        rejected=tuple(sorted((*collection.rejected, *spare.values()), key=lambda each: each.path)),
        notes=(*collection.notes, *_resampled(made, asked)),
    )


def _fits(ref: ImageRef, asked: Channels) -> list[str]:
    """The channels that an image may be, by its name or its series' description."""
    texts = [ref.name, ref.fact("series_description") or ""]
    return [name for name, glob in asked.globs if any(_walk.matches(text, glob) for text in texts if text)]


def _chosen(refs: Sequence[ImageRef], asked: Channels) -> Mapping[str, ImageRef]:
    """The image of each channel. One that alone fits a channel is no candidate for others. Raises `Unreadable`."""
    fitting = {name: [ref for ref in refs if name in _fits(ref, asked)] for name in asked.names}
    for _ in asked.names:
        sure = {name: found[0].name for name, found in fitting.items() if len(found) == 1}
        fitting = {
            name: found if len(found) == 1 else [ref for ref in found if ref.name not in sure.values()]
            for name, found in fitting.items()
        }
    for name, glob in asked.globs:
        found = fitting[name]
        if not found:
            raise Unreadable(f"it has no {name}, none of its files fits '{glob}' alone")
        if len(found) > 1:
            several = ", ".join(ref.name.rpartition("/")[2] for ref in found[:_SHOWN])
            raise Unreadable(f"{len(found)} of its files fit {name}='{glob}': {several}")
    return {name: found[0] for name, found in fitting.items()}


def _told(ref: ImageRef, reason: str, root: Path, used: set[str]) -> list[Rejected]:
    """The rejected files of an image; the image itself where others of its files are used."""
    spare = [path for path in ref.files if path not in used]
    if ref.reader == "npz" or not spare:
        return [Rejected(ref.name, reason)]
    return [Rejected(Path(path).relative_to(root).as_posix(), reason) for path in spare]


def _resampled(made: Sequence[ImageRef], asked: Channels) -> list[str]:
    off = [text for ref in made if (text := ref.fact("resampled"))]
    if not off:
        return []
    which = ", ".join(dict.fromkeys(name for text in off for name in text.split(", ")))
    return [f"{len(off)} of {len(made)} cases: {which} resampled to the grid of {asked.names[0]} (linear interpolation)."]


def _none_whole(collection: Collection, left: Sequence[tuple[ImageRef, str]]) -> InputError:
    reasons = list(dict.fromkeys(reason for _, reason in left))
    told = "; ".join(reasons[:_SHOWN]) + ("; and more" if len(reasons) > _SHOWN else "")
    return InputError(
        "no-cases",
        got=f"No case of {collection.root} has all channels: {told}.",
        allowed="Cases with one file for each channel.",
        fix="Check the patterns of --channels and what --case-by says of the files of one case.",
    )


def _checked(case_by: str) -> str:
    if case_by == PARENT:
        return case_by
    try:
        groups = re.compile(case_by).groups
    except re.error as error:
        raise _wrong(f"--case-by '{case_by}' is no regular expression: {error}.") from None
    if not groups:
        raise _wrong(f"--case-by '{case_by}' has no group.")
    return case_by


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-channels",
        got=got,
        allowed=r"--channels NAME=PATTERN,NAME=PATTERN with --case-by parent or an expression with a group such as '(sub-\d+)_'.",
        fix="Write --channels flair='*FLAIR*',t1='*T1_*' --case-by parent.",
    )
