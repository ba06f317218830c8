"""What reading labels gives, and what a label format is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medloop.compute import Compute
from medloop.progress import QUIET, Progress
from medloop.requests import SourceRequest
from medloop.types import Case, ImageRef, Json, Label, Target, Truth

if TYPE_CHECKING:
    from medloop.readers import Collection


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images with their labels.

    ``labels`` and ``cases`` have the same order: one label for each case. ``layout``: how the labels were read, in a sentence.
    ``columns``: ``column``, ``read_as``, ``because`` of each column of a table. ``problems``: ``row`` (as a spreadsheet counts, the
    header being row 1, or None), ``name``, ``problem``. ``unlabelled``: images that got no label.

    ``further``: structured targets, their rows in the order of ``cases``. Where nothing else is labelled ``target`` is the first of
    them and the value of each label is empty. ``found``: ``target``, ``class``, ``cases``, ``count`` (boxes, or voxels) of each of
    their classes. ``files``: absolute paths of the files that labels were read from.
    """

    target: Target
    labels: tuple[Label, ...]
    cases: tuple[Case, ...]
    layout: str
    columns: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, Json]] = field(default_factory=list)
    unlabelled: tuple[ImageRef, ...] = ()
    further: tuple[Truth, ...] = ()
    found: list[dict[str, Json]] = field(default_factory=list)
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class Using:
    """With what label files are opened: ``compute`` the processes (none: this one), ``cache`` the folder in which is kept what was
    seen in masks (None: nowhere).
    """

    compute: Compute = field(default_factory=lambda: Compute(0))
    cache: Path | None = None
    tell: Progress = QUIET


class LabelFormat(Protocol):
    """A module of this room."""

    ORDER: int
    """Formats with smaller numbers are tried first when ``--labels`` is left out."""
    EXAMPLE: str
    """How a person gives such labels."""
    STRUCTURED: bool
    """Whether it gives masks or boxes, which may stand beside classes. Of the others only the first that finds any counts."""

    @staticmethod
    def opens(path: Path) -> bool:
        """Whether ``--labels path`` is of this format, judged by its name."""
        ...

    @staticmethod
    def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
        """The labels of the collection, from ``request.labels`` when it is given (paths of this format, with commas). None when the
        collection carries none of this format. ``using``: how files are opened that must be, one by one.
        """
        ...


def problem(row: int | None, name: str, text: str) -> dict[str, Json]:
    """One entry of `Labelled.problems`."""
    return {"row": row, "name": name, "problem": text}
