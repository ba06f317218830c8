"""The sheet of explanations beside predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medloop.families import Model, choices_of
from medloop.loop._heat import Heater
from medloop.loop._intake import Means, Seen
from medloop.loop._pictures import shower
from medloop.reporting import Explained, explain_page
from medloop.types import Integers, Prediction
from medloop.workspace import write_text

MOST = 60
"""Cases on a sheet: more make a page that no browser likes."""


def sheet_beside(out: Path) -> Path:
    """Where the sheet of the predictions ``out`` lies."""
    return out.with_name(f"{out.stem}-explained.html")


def write_sheet(path: Path, model: Model, name: str, seen: Seen, prediction: Prediction, means: Means) -> None:
    """Explain the answers, `MOST` at most, the least sure first where there are more."""
    arrays = seen.survey.arrays
    if arrays is None:
        raise ValueError("nothing was prepared")
    heater = Heater(
        model=model,
        arrays=arrays,
        rows=np.arange(len(arrays)),
        choices=choices_of(model.target, prediction),
        compute=means.compute,
        tell=means.tell,
    )
    positions = _chosen(prediction)
    count = len(prediction.cases)
    with means.clock.stage("explain"):
        page = explain_page(
            Explained(
                target=model.target,
                prediction=prediction,
                positions=positions,
                picture=shower(seen.survey.refs),
                heat=heater(positions),
                model=name,
                says=heater.says,
                left_out="" if len(positions) == count else f"The {MOST} least sure of {count} cases, the least sure first.",
            )
        )
    write_text(path, page)


def _chosen(prediction: Prediction) -> Integers:
    """The cases on the sheet: all in their order, or the least sure ones."""
    if len(prediction.cases) <= MOST:
        return np.arange(len(prediction.cases))
    return np.argsort(prediction.confidence, kind="stable")[:MOST]
