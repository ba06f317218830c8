"""Tumours of phantom CT in new patients: sensitivity at one false positive a case, and error of the diameter."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from bench._learning import learnt, place, value
from bench.core import Row
from medloop.evaluation import intervals
from medloop.loop.predict import predict
from medloop.loop.sample import sample
from medloop.requests import PredictRequest, SampleRequest, SampleResult
from medloop.targets import measures
from medloop.targets.masks import instances
from medloop.types import Floats, Metric
from medloop.workspace import Workspace

SEED, NEW_SEED, NEW = 0, 1, 40
"""Seeds of the patients that are learnt from and of the new ones; how many new ones there are."""
BUDGET, RECIPE = "15m", "slabs"
_TUMOUR, _RATE = 11, 1.0
_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is answered, a part of the mask or a doubtful place: its score, its longest diameter (mm), whether it is a false
    positive, and the lesions that it hits."""

    score: float
    longest_mm: float
    false: bool
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A study: the patient, the longest diameter (mm) of each tumour as it was made and as its true label map has it, and what is
    answered."""

    patient: str
    made_mm: Floats
    true_mm: Floats
    parts: tuple[Part, ...]


def rows() -> Iterator[Row]:
    """Learn tumours in one collection, outline them in another, judge them by the lesions that it was made with."""
    with place() as folder:
        workspace = Workspace(folder / "workspace")
        old, new = (
            _sample(workspace, folder / name, seed, count) for name, seed, count in (("a", SEED, None), ("b", NEW_SEED, NEW))
        )
        result = learnt(
            folder / "workspace",
            src=old.images,
            labels=old.labels,
            masks=str(Path(old.folder) / "masks"),
            mask_classes=f"{_TUMOUR}=tumour,*=background",
            targets="masks",
            recipe=RECIPE,
            budget=BUDGET,
            seed=SEED,
        )
        predict(workspace, PredictRequest(model=result.model, src=new.images, out=str(folder / "found" / "p.csv")))
        judged = list(_judged(folder / "found", Path(new.folder)))
    patients = np.unique([each.patient for each in judged], return_inverse=True)[1]
    level = _level(judged)
    tallies = [_tally(each, level) for each in judged]
    figures = intervals.bootstrap(
        {
            "sensitivity": _ratio([each[0] for each in tallies], [len(each.true_mm) for each in judged]),
            "false": _ratio([each[1] for each in tallies], [1] * len(judged)),
            "error": _ratio([each[2] for each in tallies], [each[3] for each in tallies]),
        },
        patients,
        SEED,
    )
    count, studies = sum(len(each.true_mm) for each in judged), len(judged)
    falses = figures["false"].value
    shared_notes = f"{count} tumours in {studies} studies of {NEW} new patients; learnt in {result.seconds:.0f} s"
    yield Row(
        what=f"phantom CT, {BUDGET}: tumours found at {_RATE:g} false positive a case",
        figure=float(figures["sensitivity"].value or 0.0),
        unit="sensitivity",
        seeds=[SEED, NEW_SEED],
        notes=f"{_interval(figures['sensitivity'])}; {falses or 0.0:.2f} false positives a case; scores of {level:.3f} or more; "
        f"Dice held out {value(result, 'dice_tumour'):.3f}; {shared_notes}",
    )
    yield Row(
        what=f"phantom CT, {BUDGET}: mean error of the longest diameter of tumours that are found",
        figure=float(figures["error"].value or float("nan")),
        unit="mm",
        seeds=[SEED, NEW_SEED],
        notes=f"{_interval(figures['error'])}; against the shapes that were made; {_bias(judged)}; {shared_notes}",
    )


def _bias(judged: Sequence[Judged]) -> str:
    """How far diameters in true label maps are from those that the tumours were made with."""
    above = np.concatenate([each.true_mm - each.made_mm for each in judged])
    return f"the label maps' own are {above.mean():+.1f} mm (mean) from those of the shapes before they were cut into voxels"


def _sample(workspace: Workspace, folder: Path, seed: int, patients: int | None) -> SampleResult:
    return sample(workspace, SampleRequest(name="phantom-ct", out=str(folder), seed=seed, patients=patients))


def _judged(found: Path, truth: Path) -> Iterator[Judged]:
    """Every study of the collection ``truth``, by its own table of lesions."""
    lesions: dict[str, list[dict[str, str]]] = {}
    with (truth / "lesions.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["kind"] == "tumour":
                lesions.setdefault(f"{line['patient']}_{line['study']}", []).append(line)
    with (found / "masks" / "files.csv").open(newline="", encoding="utf-8") as file:
        answers = {
            line["case"].partition("#")[0].replace("/", "_"): found / "masks" / line["file"] for line in csv.DictReader(file)
        }
    told: dict[str, list[dict[str, str]]] = {}
    with (found / "parts.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            told.setdefault(line["case"].partition("#")[0].replace("/", "_"), []).append(line)
    for path in sorted((truth / "masks").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        yield _study(answers[name], told.get(name, []), path, lesions.get(name, []))


def _study(answer: Path, told: Sequence[dict[str, str]], truth: Path, lesions: Sequence[dict[str, str]]) -> Judged:
    """A tumour is hit by what covers its centre, or whose centre lies within its longest radius (as LUNA16)."""
    image = nibabel.load(answer)
    labels = instances((np.asarray(image.dataobj) > 0).astype(np.uint8).transpose(2, 1, 0)).labels.transpose(2, 1, 0)
    centres, made = _at(lesions) * _TO_RAS, np.array([float(each["longest_mm"]) for each in lesions])
    inside = np.rint(apply_affine(np.linalg.inv(image.affine), centres)).astype(int).reshape(-1, 3)
    under = np.array([_value(labels, each) for each in inside], dtype=int)
    parts = []
    for line in told:
        middle = apply_affine(image.affine, [float(line[axis]) for axis in "xyz"])
        hits = np.flatnonzero((under == int(line["part"])) | (np.linalg.norm(centres - middle, axis=1) <= made / 2))
        parts.append(Part(float(line["score"]), float(line["longest diameter"]), not len(hits), tuple(hits.tolist())))
    name = truth.name.removesuffix(".nii.gz")
    return Judged(name.partition("_")[0], made, _true_mm(truth, centres, made), tuple(parts))


def _true_mm(truth: Path, centres: Floats, made: Floats) -> Floats:
    """Longest diameters in the label map, measured as those of answers are; a voxel belongs to the tumour that is nearest."""
    image = nibabel.load(truth)
    voxels = np.argwhere(np.asarray(image.dataobj) == _TUMOUR)
    if not len(centres):
        return np.zeros(0)
    far = np.linalg.norm(apply_affine(image.affine, voxels)[:, None] - centres, axis=2) / made
    found = np.full(len(centres), np.nan)
    for number in range(len(centres)):
        own = voxels[far.argmin(axis=1) == number]
        part = np.zeros(np.ptp(own, axis=0) + 1, np.bool_)
        part[tuple((own - own.min(axis=0)).T)] = True
        found[number] = _longest(part, image)
    return found


def _at(lesions: Sequence[dict[str, str]]) -> Floats:
    return np.array([[float(each[f"{axis}_mm"]) for axis in "xyz"] for each in lesions]).reshape(-1, 3)


def _value(labels: NDArray[np.int32], place: NDArray[np.int_]) -> int:
    return int(labels[tuple(place)]) if (place >= 0).all() and (place < labels.shape).all() else 0


def _longest(part: NDArray[np.bool_], image: Any) -> float:
    """The longest diameter in mm of one part ``(x, y, z)`` of a NIfTI image."""
    x, y, z = (float(abs(each)) for each in image.header.get_zooms()[:3])
    told = measures.measure(np.pad(part.transpose(2, 1, 0).astype(np.uint8), 1), (z, y, x), ("tumour",))
    return float(told["tumour longest diameter"])


def _level(judged: Sequence[Judged]) -> float:
    """The lowest score from which answers count so that there is at most one false positive a case."""
    falses = sorted((part.score for each in judged for part in each.parts if part.false), reverse=True)
    allowed = int(_RATE * len(judged))
    return 0.0 if len(falses) <= allowed else float(np.nextafter(falses[allowed], 1))


def _tally(study: Judged, level: float) -> tuple[int, int, float, int]:
    """Tumours hit, false positives, sum of the diameters' errors, and of how many. The surest answer says how large a tumour is."""
    kept = sorted((part for part in study.parts if part.score >= level), key=lambda part: -part.score)
    longest: dict[int, float] = {}
    for part in kept:
        for each in part.hits:
            longest.setdefault(each, part.longest_mm)
    off = sum(abs(longest[each] - study.made_mm[each]) for each in longest)
    return len(longest), sum(part.false for part in kept), float(off), len(longest)


def _ratio(above: Sequence[float], below: Sequence[float]) -> intervals.Statistic:
    """A sum over a sum, studies weighted."""
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)

    def statistic(weights: Floats) -> Floats:
        whole = bottom @ weights
        return np.asarray(np.divide(top @ weights, whole, out=np.full(len(whole), np.nan), where=whole > 0))

    return statistic


def _interval(metric: Metric) -> str:
    return "no interval" if metric.low is None or metric.high is None else f"95 % interval {metric.low:.3f} to {metric.high:.3f}"
