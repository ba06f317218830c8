"""The sheet of explanations beside predictions: each picture, where the model looked, and what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation.evidence import PictureGetter
from medloop.reporting import render
from medloop.reporting.sheets import Picture
from medloop.types import Array, Integers, Prediction, Target, TargetKind
from medloop.version import VERSION


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What an explanation sheet shows: of ``prediction`` the cases ``positions``, in this order.

    ``picture``: of a case as it is shown. ``heat``: pictures ``(Y, X, 3)`` uint8 by position. ``says``: how heat was found.
    ``left_out``: why not every case is here, or "".
    """

    target: Target
    prediction: Prediction
    positions: Integers
    picture: PictureGetter
    heat: Mapping[int, Array]
    model: str
    says: str
    left_out: str = ""


def explain_page(told: Explained) -> str:
    """One self-contained HTML page."""
    items = [_item(told, int(position)) for position in told.positions]
    return render.page(
        "explain.html.j2",
        {
            "title": "Where the model looked",
            "kicker": f"Explanations of medloop · model {told.model}",
            "stamp": "Not for clinical use",
            "verdict": told.says,
            "left_out": told.left_out,
            "contents": [],
            "items": items,
            "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
        },
    )


def _item(told: Explained, position: int) -> Picture:
    prediction, unit = told.prediction, f" {told.target.unit}" if told.target.unit else ""
    if told.target.kind is TargetKind.NUMBER:
        lines: Sequence[str] = (f"{prediction.probabilities[position, 0]:.4g}{unit}",)
    else:
        sure = "" if np.isnan(prediction.confidence[position]) else f", {100 * prediction.confidence[position]:.0f} %"
        lines = (f"{prediction.labels[position] or 'none'}{sure}",)
    if prediction.abstain[position]:
        lines = (*lines, "below its threshold: it abstains")
    picture = Picture.of(told.picture(position), prediction.cases[position], tuple(lines))
    looked = told.heat.get(position)
    return picture if looked is None else picture.with_beside(looked, "where the model looked")
