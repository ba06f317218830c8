"""What benches of learnt models share: learning in a workspace of its own, and means of several draws."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.core import Row
from medloop.loop.learn import learn
from medloop.requests import LearnRequest, LearnResult
from medloop.workspace import Workspace

_SURE = 0.975


@contextmanager
def place() -> Iterator[Path]:
    """A folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="medloop-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def learnt(workspace: Path | None = None, **request: Any) -> LearnResult:
    """Learn as the request says, in a workspace of its own unless one is given."""
    if workspace is None:
        with place() as folder:
            return learnt(folder, **request)
    result = learn(Workspace(workspace), LearnRequest(**request))
    if not isinstance(result, LearnResult):
        raise TypeError("learn gave a dry run")
    return result


def value(result: LearnResult, metric: str) -> float:
    """A figure of the test, NaN where it is undefined."""
    found = result.test.get(metric)
    return float("nan") if found is None or found.value is None else float(found.value)


def share(result: LearnResult) -> float:
    """Cases judged over cases learnt from, of a held-out test."""
    split = result.dataset.split
    return split["test"] / (split["train"] + split["val"])


def row(what: str, metric: str, result: LearnResult, *, seed: int = 0, baseline: tuple[str, float] = ("", float("nan"))) -> Row:
    """One figure of one result with its interval and its time, beside a baseline ``(name, figure)``."""
    found = result.test[metric]
    interval = "no interval" if found.low is None or found.high is None else f"95 % interval {found.low:.3f} to {found.high:.3f}"
    judged = result.dataset.split.get("test", result.dataset.cases) if result.protocol == "held-out" else result.dataset.cases
    named, figure = baseline
    return Row(
        what=what,
        figure=value(result, metric),
        unit=metric,
        baseline=named,
        baseline_figure=figure if named else None,
        seeds=[seed],
        notes=f"{interval}; {judged} cases judged; {result.seconds:.0f} s; {result.peak_private_mb:.0f} MB",
    )


def recipe(folder: Path, name: str, **parameters: Any) -> str:
    """A file with a recipe of the family multitask."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "family": "multitask", "seed": 0, "parameters": parameters}))
    return str(path)


def lists(folder: Path, **cases: Sequence[str]) -> str:
    """Text files that give a split, as ``--split-lists`` takes them: ``lists(folder, train=[...], test=[...])``."""
    for name, listed in cases.items():
        (folder / f"{name}.txt").write_text("".join(f"{case}\n" for case in listed))
    return ",".join(str(folder / f"{name}.txt") for name in cases)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The mean of several draws with its 95 % interval by Student's t, and what the interval would be if draws that share cases
    counted as such (Nadeau and Bengio, Machine Learning 2003)."""

    mean: float
    half: float
    wider: float

    @classmethod
    def of(cls, values: Sequence[float], judged_share: float = 0.0) -> Drawn:
        """``judged_share``: cases judged over cases learnt from, in each draw. Draws without a figure are left out."""
        known = np.asarray([each for each in values if np.isfinite(each)], np.float64)
        if len(known) < 2:
            return cls(float(known.mean()) if len(known) else float("nan"), float("nan"), float("nan"))
        quantile, variance, count = float(stats.t.ppf(_SURE, len(known) - 1)), float(known.var(ddof=1)), len(known)
        return cls(
            float(known.mean()), quantile * (variance / count) ** 0.5, quantile * (variance * (1 / count + judged_share)) ** 0.5
        )

    def __str__(self) -> str:
        low, high = self.mean - self.half, self.mean + self.half
        return f"95 % interval {low:.3f} to {high:.3f} (corrected for draws that overlap: ± {self.wider:.3f})"


def listed(values: Sequence[float]) -> str:
    """Numbers of draws, as notes tell them."""
    return ", ".join(f"{each:.3f}" for each in values)


def told(named: Mapping[str, Sequence[float]]) -> str:
    """Means of several rows of draws, and the draws themselves."""
    return "; ".join(f"{name} {np.nanmean(values):.3f} ({listed(values)})" for name, values in named.items())
