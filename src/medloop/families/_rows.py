"""What the ladder says of each rung: how good, how long, how large, how fast, chosen or why not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from medloop import registry
from medloop.evaluation import scores
from medloop.families._choice import beats
from medloop.families._job import FitJob, Fitted, Model
from medloop.families._rungs import Climbed, best_of, margin
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Floats, Integers, Json

_TASTED = 12
_QUALITY = "mean of AUC and balanced accuracy"


def row(job: FitJob, fitted: Fitted, *, how: str, seconds: float, chosen: bool, reason: str) -> dict[str, Json]:
    """One model's row of the ladder."""
    out, dataset = fitted.out_of_fold, job.dataset
    name, metric = scores.score_main(dataset.target, job.values, out.probabilities, dataset.patients[job.train], job.recipe.seed)
    return {
        "family": fitted.model.family,
        "how": how,
        "metric": name,
        "validation": asdict(metric),
        "seconds": round(seconds, 2),
        "trials": len(fitted.trials),
        "size_mb": round(size_mb(fitted.model), 3),
        "images_per_second": _speed(job, fitted.model),
        "chosen": chosen,
        "reason": reason,
    }


def rows(job: FitJob, found: Sequence[Climbed], chosen: Sequence[Climbed], scored: Floats) -> list[dict[str, Json]]:
    """A row for every rung. ``scored``: the quality by fold of what was chosen."""
    best = best_of([each for each in found if each.fitted is not None])
    told = []
    for each in found:
        if each.fitted is None:
            told.append(_left_out(each))
            continue
        alone = len(chosen) == 1 and each in chosen
        reason = _why(each, best, chosen, scored)
        told.append(row(job, each.fitted, how=each.rung.how, seconds=each.seconds, chosen=alone, reason=reason))
    return told


def of_average(job: FitJob, fitted: Fitted, chosen: Sequence[Climbed], why: str) -> list[dict[str, Json]]:
    """The row of an average that was chosen, for the reason ``why``."""
    names = " and ".join(each.rung.name for each in chosen)
    reason = f"Chosen: its answers are better. {why}"
    seconds = sum(each.seconds for each in chosen)
    return [row(job, fitted, how=f"average of {names}", seconds=seconds, chosen=True, reason=reason)]


def size_mb(model: Model) -> float:
    """The model as saved, in megabytes (10^6 bytes)."""
    parts = registry.load("families", model.family).to_parts(model)
    stored = sum(array.nbytes for array in parts.arrays.values()) + sum(map(len, parts.files.values()))
    return float((stored + len(json.dumps(parts.json))) / 1e6)


def _why(each: Climbed, best: Climbed, chosen: Sequence[Climbed], scored: Floats) -> str:
    own = each.scores
    if own is None or best.scores is None:
        return each.reason
    if len(chosen) > 1 and each in chosen:
        return "Part of the average below."
    if each in chosen:
        if each is best:
            return "Chosen: the best."
        gap, error = margin(best.scores, own)
        return f"Chosen: simpler than {best.rung.name} and as good ({gap:.3f} ± {error:.3f} behind, which may be luck)."
    gap, error = margin(scored, own)
    whom = chosen[0].rung.name if len(chosen) == 1 else "the average"
    if gap < 0 and len(chosen) > 1:
        return f"As good as the average ({-gap:.3f} ± {error:.3f} ahead), and of no more use in it."
    if gap < 0:
        return f"Better than {whom} by {-gap:.3f} ± {error:.3f}, which may be luck: the simpler is kept."
    if beats(scored, own):
        return f"{gap:.3f} ± {error:.3f} behind {whom} ({_QUALITY})."
    if len(chosen) > 1:
        return f"As good as the average ({gap:.3f} ± {error:.3f} behind), and of no use in it."
    return f"As good as {whom} ({gap:.3f} ± {error:.3f} behind), which is simpler."


def _left_out(each: Climbed) -> dict[str, Json]:
    return {
        "family": each.rung.family,
        "how": each.rung.how,
        "metric": None,
        "validation": None,
        "seconds": round(each.seconds, 2),
        "trials": 0,
        "size_mb": None,
        "images_per_second": None,
        "chosen": False,
        "reason": f"Left out. {each.reason}",
    }


def _speed(job: FitJob, model: Model) -> float | None:
    """Images a second in this process, prepared ones in, answers out; from a few of them, after one to warm up."""
    some: Integers = job.train[:_TASTED]
    if len(some) < 2:
        return None
    _answer(model, job.arrays, some[:1])
    start = job.clock()
    _answer(model, job.arrays, some)
    spent = job.clock() - start
    return round(len(some) / spent, 1) if spent > 0 else None


def _answer(model: Model, arrays: PreparedArrays, rows: Integers) -> None:
    model.raw(arrays, rows)
