"""Evidence made up for tests: answers of a plausible model, with pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medloop import targets
from medloop.evaluation import calibration, decisions, detection, matching, scores, subgroups
from medloop.evaluation.curves import Line
from medloop.evaluation.decisions import Decided
from medloop.evaluation.evidence import Agreement, Answers, CurvePoint, Evidence, Overlay, StructuredEvidence
from medloop.evaluation.shift import Fact, Shift
from medloop.reporting import Explained, explain_page, heat_picture, overlay
from medloop.requests import DatasetSummary, EvaluateResult, InspectResult, LearnResult
from medloop.types import Findings, Image, Metric, Prediction, Target, TargetKind, Violation
from medloop.wire import to_json

TARGETS = {
    "binary": Target(TargetKind.BINARY, ("normal", "pneumonia")),
    "multi-class": Target(TargetKind.MULTICLASS, ("neutrophil", "lymphocyte", "monocyte", "eosinophil")),
    "multi-label": Target(TargetKind.MULTILABEL, ("mass", "nodule", "effusion")),
    "number": Target(TargetKind.NUMBER, name="bone age", unit="months"),
}
RECIPE = """name = "classical"
family = "classical"
seed = 0

[[preparation]]
name = "resize"

[preparation.params]
size = [1, 64, 64]
"""


def pictures(position: int):
    """A blurred disk of a size that depends on the position."""
    y, x = np.mgrid[:64, :64] - 32
    disk = 200 / (1 + np.exp((np.hypot(x, y) - 8 - position % 17) / 2)) + np.random.default_rng(position).normal(20, 8, (64, 64))
    return np.repeat(np.clip(disk, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _raw(target: Target, count: int, seed: int, strength: float):
    draw = np.random.default_rng(seed)
    if target.kind is TargetKind.BINARY:
        values = (draw.random(count) < 0.65).astype(np.int64)
        return values, draw.normal(strength * (values - 0.5), 1)
    if target.kind is TargetKind.MULTICLASS:
        values = draw.choice(4, count, p=[0.55, 0.2, 0.17, 0.08])
        return values, draw.normal(0, 1, (count, 4)) + strength * np.eye(4)[values]
    if target.kind is TargetKind.MULTILABEL:
        values = (draw.random((count, 3)) < 0.25).astype(np.float32)
        raw = draw.normal(0, 1, (count, 3)) + strength * values
        values[draw.random((count, 3)) < 0.05] = np.nan
        return values, raw
    values = draw.normal(120, 30, count)
    return values, (values + draw.normal(3, 12, count))[:, None]


def _answers(target, values, probabilities, decision, split) -> Answers:
    count = len(values)
    draw = np.random.default_rng(5)
    facts = tuple({"sex": "FM"[draw.integers(2)], "site": ("north", "south", "west")[draw.integers(3)]} for _ in range(count))
    return Answers(
        names=tuple(f"{split}/scan_{k:04d}.png" for k in range(count)),
        values=values,
        probabilities=probabilities,
        decided=decisions.decide(target, probabilities, decision),
        patients=np.arange(count) // 2,
        attributes=facts,
    )


def evidence(kind: str, count: int = 400, *, strength: float = 2.5) -> Evidence:
    """Evidence of a held-out test."""
    target = TARGETS[kind]
    before, raw = _raw(target, 2 * count, 0, strength)
    here, fresh = _raw(target, count, 1, strength)
    patients = np.arange(2 * count) // 2
    calibrator = calibration.fit(target, raw, before, patients)
    chances = calibration.apply(calibrator, raw)
    decision = decisions.choose(target, chances, before, patients)
    name = "r2" if kind == "number" else "auc"
    points = [(100, 0.86, 0.04), (230, 0.895, 0.03), (430, 0.915, 0.025), (660, 0.931, 0.02)]
    classes = target.classes or ("cases",)
    draw = np.random.default_rng(3)
    return Evidence(
        target=target,
        protocol="held-out",
        answers=_answers(target, here, calibration.apply(calibrator, fresh), decision, "test"),
        decision=decision,
        calibrator=calibrator,
        validation=_answers(target, before, chances, decision, "train"),
        split_classes={part: {c: 10 * (k + 3) for k, c in enumerate(classes)} for part in ("train", "val", "test")},
        split_patients={"train": 320, "val": 80, "test": 200},
        learning_curve=tuple(
            CurvePoint(cases=n, patients=n // 2, metric=name, value=Metric(v, v - w, v + w)) for n, v, w in points
        ),
        search=(
            {"trial": 0, "rung": "transfer (whole)", "state": "complete", "score": 0.9, "history": history()},
            *(
                {
                    "trial": k,
                    "features": "hog, sift" if k % 3 else "intensity",
                    "estimator": "rbf-svm",
                    "score": float(s),
                    "seconds": 1.5,
                }
                for k, s in enumerate(np.clip(0.8 + 0.03 * np.log1p(np.arange(40)) + draw.normal(0, 0.02, 40), 0, 1))
            ),
        ),
        recipe_toml=RECIPE,
        versions={"medloop": "0.1.0", "python": "3.11", "numpy": "2.4", "scikit-learn": "1.9"},
        picture=pictures,
        source="scans",
        shift=Shift(0.71, 0.002, True, (Fact("sharpness", 21.9, 25.1, 0.6),), (320, 200)) if kind == "binary" else None,
        shortcuts=({"says": "the image's width alone tells the classes apart with an AUC of 0.91", "from": "width", "auc": 0.91},),
    )


def looked(positions):
    """Heat in the middle of every second case that was asked for: time ran out for the others."""
    heat = np.exp(-(np.hypot(*(np.mgrid[:64, :64] - 32)) ** 2) / 60)[None]
    return {
        int(k): heat_picture(Image(np.moveaxis(pictures(int(k)), -1, 0)[None, :, None], colour=True), heat)
        for k in positions[: -(-len(positions) // 2)]
    }


def with_heat(given: Evidence) -> Evidence:
    """The same with heat and a sheet of augmentation."""
    copies = tuple((f"scan_{k}.png", tuple(pictures(k + 5 * n) for n in range(6))) for k in range(3))
    return replace(given, heat=looked, heat_says="Heat, found by covering.", augmented=copies)


CELL = Target(TargetKind.MASKS, ("cytoplasm", "nucleus"), name="masks")
SIZES = Target(TargetKind.MEASURES, ("longest diameter", "area"), name="measures", units=("mm", "mm2"))
SPOTS = Target(TargetKind.BOXES, ("red cell", "platelet"), name="boxes")


def outlined(count: int = 24) -> StructuredEvidence:
    """Round cells, found a little beside where they are."""
    cells, draw = targets.of(TargetKind.MASKS), np.random.default_rng(6)
    y, x = np.mgrid[:64, :64] - 32
    pairs = []
    for k in range(count):
        off, size = draw.normal(0, 0.4 + 0.12 * k, 2), 10 + k % 9
        truth, answer = (
            ((np.hypot(y - dy, x - dx) < size + 6).astype(np.uint8) + (np.hypot(y - dy, x - dx) < size))[None].astype(np.uint8)
            for dy, dx in ((0, 0), off)
        )
        pairs.append((Findings(str(k), mask=answer), Findings(str(k), mask=truth)))
    tallies = [cells.tally(CELL, answer, truth, (1.0, 0.5, 0.5)) for answer, truth in pairs]
    broken = Violation("nucleus inside the cell", "12 % outside", "at most 5 % outside")
    return _structured(CELL, cells, pairs, tallies, violations=(("scan_0003.png", broken), ("scan_0007.png", broken)))


def boxed(count: int = 24) -> StructuredEvidence:
    """Cells found as boxes, some missed, some made up."""
    spots, draw = targets.of(TargetKind.BOXES), np.random.default_rng(7)
    pairs = []
    for k in range(count):
        corner = draw.integers(0, 40, (5, 2)).astype(float)
        size = draw.uniform(8, 20, (5, 2))
        truth = np.c_[np.zeros(5), corner, np.ones(5), corner + size]
        answer = truth + np.c_[np.zeros(5), draw.normal(0, 1, (5, 2)), np.zeros(5), draw.normal(0, 1, (5, 2))]
        answer[4] += [0, 30, 30, 0, 30, 30]
        kinds, scores = np.array([0, 0, 0, 1, 1]), draw.uniform(0.4, 1, 5)
        pairs.append((Findings(str(k), None, answer, kinds, scores), Findings(str(k), None, truth, kinds, np.ones(5))))
    tallies = [spots.tally(SPOTS, answer, truth, None) for answer, truth in pairs]
    found = matching.pairs(tallies, 0.5)
    return _structured(
        SPOTS, spots, pairs, tallies,
        agreement=(Agreement("longest diameter", found.unit, found.diameter, found.diameter_found),),
        froc={name: Line(*detection.curve(tallies, k)) for k, name in enumerate(SPOTS.classes)},
    )  # fmt: skip


def sized(count: int = 24) -> StructuredEvidence:
    """Diameters and areas, found a little too large."""
    sizes, draw = targets.of(TargetKind.MEASURES), np.random.default_rng(9)
    true = draw.uniform(5, 20, count)
    found = true + draw.normal(0.5, 0.5, count)
    names = SIZES.classes
    pairs = [
        tuple(Findings(str(k), measures=dict(zip(names, (value[k], value[k] ** 2), strict=True))) for value in (found, true))
        for k in range(count)
    ]
    tallies = [sizes.tally(SIZES, answer, truth, None) for answer, truth in pairs]
    agreement = tuple(
        Agreement(name, unit, np.array([t.truth[k] for t in tallies]), np.array([t.found[k] for t in tallies]))
        for k, (name, unit) in enumerate(zip(names, SIZES.units, strict=True))
    )
    figures = sizes.metrics(SIZES, tallies, np.arange(count))
    cases = tuple(f"scan_{k:04d}.png" for k in range(count))
    merits = np.array([sizes.merit(each) for each in tallies])
    return StructuredEvidence(target=SIZES, names=cases, figures=figures, by_case={}, merits=merits, agreement=agreement)


def _structured(target, module, pairs, tallies, **more) -> StructuredEvidence:
    figures = module.metrics(target, tallies, np.arange(len(tallies)))
    alone = [module.metrics(target, [each], np.zeros(1, np.int64)) for each in tallies]
    values = {name: np.array([np.nan if each[name].value is None else each[name].value for each in alone]) for name in figures}
    merits = np.array([module.merit(each) for each in tallies])
    order = np.argsort(merits)

    def shown(places):
        images = [Image(np.moveaxis(pictures(int(k)), -1, 0)[None, :, None], colour=True) for k in places]
        return tuple(Overlay(int(k), overlay(image, target, *pairs[k])) for k, image in zip(places, images, strict=True))

    return StructuredEvidence(
        target=target, names=tuple(f"scan_{k:04d}.png" for k in range(len(pairs))), figures=figures, by_case=values, merits=merits,
        overlays=(("Worst cases", shown(order[:4])), ("Best cases", shown(order[::-1][:4]))), unknown=3, **more,
    )  # fmt: skip


def with_structured(given: Evidence) -> Evidence:
    """The same with outlines and boxes beside classes, and with the weights of their losses."""
    rows = [{**row, "weights": {"classes": 1.0, "masks": 0.5 + 0.1 * row["epoch"], "boxes": 2 / row["epoch"]}} for row in history()]
    search = ({"trial": 0, "rung": "multitask", "state": "complete", "score": 0.9, "history": rows},)
    return replace(given, structured=(outlined(), boxed(), sized()), search=search)


def only_outlines() -> Evidence:
    """Nothing but masks is learnt."""
    found = outlined()
    count = len(found.names)
    blank = Decided(None, ("",) * count, np.full(count, np.nan), np.zeros(count, bool))
    answers = Answers(
        names=found.names, values=np.zeros(count), probabilities=np.zeros((count, 0)), decided=blank, patients=np.arange(count)
    )
    return Evidence(
        target=CELL, protocol="out-of-fold", answers=answers, decision=decisions.Decision(str(CELL.kind)), structured=(found,),
        split_classes={"train": {"cases": count}}, split_patients={"train": count}, recipe_toml=RECIPE,
        versions={"medloop": "0.1.0"}, source="scans", picture=pictures,
    )  # fmt: skip


def explained(given: Evidence) -> str:
    """An explanation sheet."""
    answers = given.answers
    prediction = Prediction(
        answers.names, answers.probabilities, answers.decided.labels, answers.decided.confidence, answers.decided.abstain
    )
    first = np.arange(20)
    sheet = Explained(
        target=given.target, prediction=prediction, positions=first, picture=pictures, heat=looked(first), model="first",
        says="Heat, found by covering.", left_out="The 20 least sure of 120 cases.",
    )  # fmt: skip
    return explain_page(sheet)


def summary(given: Evidence) -> DatasetSummary:
    """The dataset of `evidence`."""
    count = len(given.answers)
    counts = {name: 10 * (k + 3) for k, name in enumerate(given.target.classes)}
    return DatasetSummary(
        fingerprint="3fa9c1d2e8b7465f0011",
        cases=3 * count,
        patients=3 * count // 2,
        split={"train": 2 * count - 80, "val": 80, "test": count},
        classes=counts,
        left_out={"basophil": "only one patient has it."} if given.target.kind is TargetKind.MULTICLASS else {},
    )


def figures(given: Evidence):
    """The figures of `evidence`."""
    answers = given.answers
    further = {name: metric for each in given.structured for name, metric in each.figures.items()}
    if given.target.kind.structured:
        return further
    return further | scores.score(given.target, answers.values, answers.probabilities, answers.decided.choices, answers.patients)


def groups(given: Evidence):
    """The subgroups of `evidence` as results state them."""
    answers = given.answers
    if given.target.kind.structured:
        return []
    rows = subgroups.table(
        given.target, answers.values, answers.probabilities, answers.decided.choices, answers.patients, answers.attributes
    )
    return [to_json(row) for row in rows]


def rungs(name):
    """A ladder of four: two that were judged, their average, and one that was left out."""

    def row(family, how, value, reason, chosen=False):
        row = {"family": family, "how": how, "chosen": chosen, "reason": reason, "seconds": 0.0, "trials": 0}
        if value is None:
            return row | dict.fromkeys(("metric", "validation", "size_mb", "images_per_second"))
        row |= {"metric": name, "validation": {"value": value, "low": value - 0.02, "high": value + 0.015}}
        return row | {"size_mb": 0.4, "seconds": 61.5, "trials": 12, "images_per_second": 210.0}

    return [
        row("classical", "", 0.931, "Part of the average below."),
        row("transfer", "frozen", 0.942, "Part of the average below."),
        row("transfer", "whole", None, "Left out. Too little time: it takes at least 90 s, and 40 s were left for it."),
        row("ladder", "average of classical and transfer (frozen)", 0.951, "Chosen: better than each of its members alone.", True),
    ]


def history(folds=3, epochs=6):
    """Losses of a training, fold by fold."""
    draw = np.random.default_rng(8)
    return [
        {
            "fold": fold,
            "epoch": epoch,
            "loss": float(np.exp(-epoch / 3) + draw.normal(0, 0.02)),
            "validation_loss": float(0.2 + np.exp(-epoch / 3)),
        }
        for fold in [*range(folds), "all"]
        for epoch in range(1, epochs + 1)
    ]


def learnt(given: Evidence, **changes) -> LearnResult:
    """The result beside `evidence`."""
    name = "r2" if given.target.kind is TargetKind.NUMBER else "dice" if given.target.kind.structured else "auc"
    result = LearnResult(
        run="/home/someone/medloop-workspace/runs/20260101-120000-classical",
        model="/home/someone/medloop-workspace/runs/20260101-120000-classical/model",
        family="classical",
        recipe="classical",
        dataset=summary(given),
        protocol="held-out",
        test=figures(given),
        ladder=rungs(name),
        looks=2,
        seconds=80.0,
        peak_private_mb=600.0,
        report="report.html",
        warnings=["8 copies of validation pictures were moved to training."],
        accepted_leaks=["3 near leaks into the test split were accepted: the figures flatter the model."],
        subgroups=groups(given),
    )
    return replace(result, **changes)


def evaluated(given: Evidence) -> EvaluateResult:
    """The result of an evaluation."""
    return EvaluateResult(
        model="/home/someone/runs/first/model",
        dataset=summary(given),
        test=figures(given),
        looks=1,
        seconds=3.0,
        report="report.html",
        warnings=[],
        subgroups=groups(given),
    )


def inspected() -> InspectResult:
    """An intake report with something of everything."""
    return InspectResult(
        source="/home/someone/scans",
        files=430,
        used=400,
        rejected=[{"path": f"broken/{k:03d}.dcm", "reason": "it is cut off in the middle of its pixels"} for k in range(20)]
        + [{"path": f"notes/{k}.txt", "reason": "not an image"} for k in range(10)],
        cases=400,
        patients=210,
        classes={"normal": 250, "pneumonia": 150},
        target="binary",
        layout="The column 'finding' of labels.csv holds one class a row; images are matched by file name.",
        columns=[
            {"column": "image", "read_as": "name of the image", "because": "400 of 402 values name a file"},
            {"column": "finding", "read_as": "class", "because": "it holds 2 different words"},
        ],
        further=[{"target": "masks", "class": "tumour", "cases": 12, "count": 4096, "of": "voxels"}],
        label_problems=[{"row": 17, "name": "scan_0999.png", "problem": "no image of that name"}],
        series=[{"series": "1.2.3", "slices": 40, "says": "one volume"}],
        duplicates=[["scan_0001.png", "scan_0002.png"], ["scan_0010.png", "scan_0011.png", "scan_0012.png"]],
        leaks=[{"a": "scan_0001.png", "b": "scan_0002.png", "kind": "exact", "splits": ["train", "val"]}],
        conflicts=[{"a": "scan_0010.png", "b": "scan_0011.png", "kind": "near", "labels": ["normal", "pneumonia"]}],
        shortcuts=[{"from": "width", "auc": 0.91, "says": "the image's width alone tells the classes apart (AUC 0.91)"}],
        burnt_in_text=["scan_0003.png"],
        sizes={"64 x 64": 380, "128 x 128": 20},
        spacings={"unknown": 400},
        modalities={"unknown": 400},
        split={"train": 300, "val": 40, "test": 60},
        warnings=["No patient column was found."],
        seconds=2.0,
        report=None,
    )
