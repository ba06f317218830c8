"""Pictures of where a model looked, for reports and for explanation sheets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medloop.compute import Compute
from medloop.families import Model, explain, way_of
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.reporting import heat_picture
from medloop.types import Array, Image, Integers

_HOW = {
    "occlusion": "found by covering one part of the picture after another: hot is what the answer loses support without",
    "gradient": "found from the gradients of its network: hot is what adds to the answer (Grad-CAM)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Heater:
    """Explains ``choices[i]`` for the prepared image of row ``rows[i]`` of ``arrays``; called with positions i.

    ``deadline``: of `time.monotonic`; there may be no time for the last ones. ``has_seen``: the model learnt from these cases.
    """

    model: Model
    arrays: PreparedArrays
    rows: Integers
    choices: Integers
    compute: Compute
    deadline: float | None = None
    tell: Progress = QUIET
    has_seen: bool = False

    def __call__(self, positions: Integers) -> Mapping[int, Array]:
        """Pictures ``(Y, X, 3)`` uint8 by position."""
        rows = self.rows[positions]
        heat = explain(
            self.model, self.arrays, rows, self.choices[positions], compute=self.compute, tell=self.tell, deadline=self.deadline
        )
        found = zip(positions.tolist(), rows.tolist(), heat, strict=False)
        return {position: heat_picture(prepared_image(self.arrays, row), each) for position, row, each in found}

    @property
    def says(self) -> str:
        """How heat was found, in words."""
        seen = " The heat is of the model that was kept, which has learnt from these cases too." if self.has_seen else ""
        return (
            "Beside each picture: the prepared image that the model was given, in grey, with heat where it found what speaks for "
            f"its answer, {_HOW[way_of(self.model)]}. It tells where the model looked, not whether it was right.{seen} "
            "Little to much:"
        )


def prepared_image(arrays: PreparedArrays, row: int) -> Image:
    """A prepared image as it can be shown."""
    return Image(pixels=arrays.take(np.array([row])), spacing_mm=arrays.spacing_mm, colour=arrays.colour)
