"""One common size without changing scale: cut or pad evenly around the centre."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from medloop.prep._grid import Pad, cut
from medloop.types import Image

VERSION = 1


def step(
    image: Image,
    *,
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
    pad: Pad = "edge",
) -> Image:
    """The ``size`` ``(z, y, x)`` voxels around the centre; what lies outside is filled as ``pad`` says.

    ``edge`` repeats the border (no false edge), ``median`` and ``minimum`` are the channel's own, ``zero`` is 0.
    """
    start = [(have - want) // 2 for have, want in zip(image.pixels.shape[2:], size, strict=True)]
    return cut(image, start, size, pad)
