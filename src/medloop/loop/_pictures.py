"""Pictures of cases for reports: decoded when a page asks for one, so a report of many cases costs only those it shows."""

from __future__ import annotations

from collections.abc import Sequence

from medloop import readers
from medloop.errors import Unreadable
from medloop.evaluation.evidence import PictureGetter
from medloop.reporting import as_picture
from medloop.types import Array, ImageRef


def shower(refs: Sequence[ImageRef]) -> PictureGetter:
    """A function from a position in ``refs`` to the picture as it is shown, None for one that can no longer be read."""

    def show(position: int) -> Array | None:
        try:
            return as_picture(readers.read(refs[position]))
        except Unreadable:
            return None

    return show
