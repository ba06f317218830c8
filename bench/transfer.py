"""Speed of transfer learning with tf_efficientnet_lite0 at 224 px: the frozen recipe, features, predict from files, fine-tuning.

Baselines are plain loops with torch, timm, PIL and pydicom (`bench/_plain.py`) on all cores, measured in the same run; what is
repeated is repeated in turns with the baseline, and the best of each counts. Pictures are generated (`bench/_skin.py`).
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench import _plain, _skin
from bench.core import Row
from medloop import families, features, prepared, readers, recipes, registry
from medloop.compute import Compute
from medloop.families import FitJob, Fitted, _linear
from medloop.families._folds import strata
from medloop.learning import fitting
from medloop.learning.lesson import Cases, Lesson
from medloop.learning.plan import Plan
from medloop.loop._learnt import LEARNT, learnt_from, to_bytes
from medloop.loop.predict import predict
from medloop.networks import backbones, classifier, running
from medloop.prepared import PreparedArrays, RowKind
from medloop.requests import PredictRequest, SourceRequest
from medloop.torch_compat import torch
from medloop.types import Array, Case, Dataset, Recipe, Target, TargetKind
from medloop.workspace import Workspace

_WORKERS = 2
_PICTURES = 600
_EPOCHS, _MEASURED = 100, 5
_FILES, _FILE_SIDE = 600, 512
_FEWER = 200
"""Files of each kind that the plain loop is given, whose rate does not depend on how many there are."""
_TUNED = 96
_TARGET = Target(TargetKind.MULTICLASS, _skin.CLASSES[:3])
_NET = "tf_efficientnet_lite0"
_ALIKE = 0.99
"""Share of answers that must be those of the plain loop, which shrinks pictures in a slightly other way."""


def rows() -> Iterator[Row]:
    """The four rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first, model = frozen_recipe(folder)
        yield first
        yield extraction(folder)
        yield from_files(folder, model)
        yield fine_tuning(folder)


def frozen_recipe(folder: Path) -> tuple[Row, Path]:
    """The classic recipe from files to a model, 100 epochs; the model's folder too."""
    files, truth = _skin.isic(folder / "isic", _PICTURES)
    start = time.perf_counter()
    fitted, dataset = _learn(files[0].parent, truth, folder / "cache")
    mine = time.perf_counter() - start
    held = _linear.held_out(strata(_TARGET, truth), np.arange(len(truth)), 0.1, 0)
    epoch, accuracies = _plain.recipe(files, truth, held, _MEASURED)
    other = epoch * _EPOCHS
    history = fitted.trials[0]["history"]
    early, kept = history[_MEASURED - 1]["validation_accuracy"], fitted.trials[0]
    beside = {LEARNT: to_bytes(learnt_from(dataset, np.arange(len(truth)), SourceRequest(src=str(files[0].parent))))}
    model = families.save(fitted.model, folder / "model", beside=beside)
    row = Row(
        what="frozen recipe",
        figure=mine,
        unit="s",
        baseline=f"DataLoader of 2 processes, every picture through the network in every epoch ({_MEASURED} epochs measured, times "
        f"{_EPOCHS // _MEASURED})",
        baseline_figure=other,
        ratio=other / mine,
        seeds=[0],
        notes=f"{_PICTURES} pictures, {_EPOCHS} epochs, both flips, batch norms in eval, 5 folds for calibration included; "
        f"accuracy on the same {int(held.sum())} validation pictures after {_MEASURED} epochs {early:.3f}, "
        f"baseline {accuracies[-1]:.3f}; kept epoch {kept['epoch']} {kept['validation_accuracy']:.3f}",
    )
    return row, model


def _learn(source: Path, truth: Array, cache: Path) -> tuple[Fitted, Dataset]:
    """Find, decode and prepare the files, learn the recipe on all of them."""
    recipe = _recipe()
    with Compute(_WORKERS) as compute:
        refs = readers.collect(source, cache=cache, compute=compute).refs
        seen = prepared.survey(refs, cache=cache, steps=recipe.preparation, compute=compute, pictures=False)
        assert seen.arrays is not None
        every = np.arange(len(refs))
        cases = tuple(Case(ref.name, (ref,)) for ref in seen.refs)
        dataset = Dataset(cases, _TARGET, truth, every, every, np.array(["train"] * len(refs)), "bench")
        job = FitJob(dataset=dataset, arrays=seen.arrays, train=every, recipe=recipe, deadline=np.inf, cache=cache, compute=compute)
        return registry.load("families", recipe.family).fit(job), dataset


def _recipe() -> Recipe:
    """The recipe that ships with medloop, on the network whose weights come with a package, with both flips."""
    shipped = recipes.to_json(recipes.load("isic2019-resnet50"))
    shipped["parameters"] |= {"backbone": _NET, "flips": ["horizontal", "vertical"]}
    return recipes.from_json(shipped)


def extraction(folder: Path) -> Row:
    """Mean and deviation of the maps of all stages, of prepared pictures; nothing comes from a cache."""
    pixels = np.stack([_skin.picture(number, 224, 224).transpose(2, 0, 1) for number in range(256)])
    arrays = _stored(folder / "shard.npy", pixels)
    feature = features.feature("network", {"side": 224})
    net, every = _plain.eyes(last=False), np.arange(len(pixels))
    with Compute(_WORKERS, few=0) as compute:
        state = features.fit(arrays, every, feature, seed=0, compute=compute)
        mine = features.table(arrays, every, feature, state=state, compute=compute)
        apart = _alike(mine[:32], _plain.features(net, pixels[:32]))
        ours, other = _in_turns(
            lambda: features.table(arrays, every, feature, state=state, compute=compute),
            lambda: _plain.features(net, pixels[: len(pixels) // 2]),
        )
    mine_rate, other_rate = len(pixels) / ours, len(pixels) / 2 / other
    return Row(
        what="feature extraction",
        figure=mine_rate,
        unit="images/s",
        baseline="timm's network, float32, eager, default layout, batch 16",
        baseline_figure=other_rate,
        ratio=mine_rate / other_rate,
        notes=f"224 by 224, decoded before; mean and deviation of every map of all stages; {_WORKERS} processes in "
        f"{running.precision()}, warm; half of all numbers are within {apart:.2g} of their deviation between pictures",
    )


def from_files(folder: Path, model: Path) -> Row:
    """``predict`` from files to a CSV, start of processes included, in workspaces that have not seen them."""
    kinds = {
        "PNG": _skin.pngs(folder / "png", _FILES, _FILE_SIDE, 10_000),
        "DICOM": _skin.dicoms(folder / "dicom", _FILES, _FILE_SIDE, 20_000),
    }
    seconds = {kind: _predicted(files, folder, model) for kind, files in kinds.items()}
    ours, other = (sum(each[side] for each in seconds.values()) for side in (0, 1))
    each = ", ".join(f"{kind} {_FILES / two[0]:.0f} against {_FILES / two[1]:.0f} images/s" for kind, two in seconds.items())
    return Row(
        what="predict from files",
        figure=2 * _FILES / ours,
        unit="images/s",
        baseline="a plain loop: PIL or pydicom, float32, eager, batch 16",
        baseline_figure=2 * _FILES / other,
        ratio=other / ours,
        notes=f"{_FILES} colour PNG and {_FILES} DICOM files of {_FILE_SIDE} by {_FILE_SIDE} to a CSV, start of "
        f"{_WORKERS} processes included, the plain loop timed on {_FEWER} of each: {each}",
    )


def _predicted(files: list[Path], folder: Path, model: Path) -> tuple[float, float]:
    """Seconds for these files, ours and the plain loop's, which gets some of them. Raises where the two do not answer alike."""
    kind = files[0].suffix
    request = PredictRequest(model=str(model), src=str(files[0].parent), out=str(folder / "mine.csv"), workers=_WORKERS)
    workspaces = (Workspace(folder / f"workspace{kind}-{number}") for number in range(100))
    net, layer = _plain.eyes(last=True), _layer(families.load(model))
    ours, other = _in_turns(
        lambda: predict(next(workspaces), request),
        lambda: _plain.predict(files[:_FEWER], net, layer, folder / "plain.csv"),
        repeat=2,
    )
    mine, plain = (_probabilities(folder / name) for name in ("mine.csv", "plain.csv"))
    alike = float((mine[:_FEWER].argmax(axis=1) == plain.argmax(axis=1)).mean())
    if len(mine) != len(files) or (kind == ".png" and alike < _ALIKE):
        raise RuntimeError(f"{alike:.2%} of {len(plain)} answers are those of the plain loop")
    return ours, other * len(files) / _FEWER


def _probabilities(path: Path) -> Array:
    """The last columns of a CSV, one a class."""
    with path.open(newline="") as file:
        lines = [line for line in csv.reader(file) if line[0] != "case"]
    return np.array([[float(cell) for cell in line[-len(_TARGET.classes) :]] for line in lines])


def _layer(model: object) -> torch.nn.Linear:
    """The model's own linear layer, as torch has it."""
    scorer = model.heads[0].scorer  # type: ignore[attr-defined]
    width = len(scorer.weights) // 2
    layer = torch.nn.Linear(width, len(scorer.bias))
    weights = {"weight": torch.from_numpy(scorer.weights[:width].T.copy()), "bias": torch.from_numpy(scorer.bias)}
    layer.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return layer


def fine_tuning(folder: Path) -> Row:
    """An epoch in which the whole network is trained, on prepared pictures."""
    pixels = np.stack([_skin.picture(number, 224, 224).transpose(2, 0, 1) for number in range(_TUNED)])
    truth = (np.arange(_TUNED) % 3).astype(np.int64)
    arrays = _stored(folder / "tuned.npy", pixels)
    spec = backbones.BackboneSpec(side=224, stages=(-1,))

    def net() -> torch.nn.Module:
        return classifier.Classifier(backbones.build(spec), classifier.ClassifierSpec(columns=3))

    def mine() -> float:
        lesson = Lesson(
            net=net(),
            loss=lambda outputs, targets, weights: torch.nn.functional.cross_entropy(outputs, targets),
            train=Cases(images=_Flat(arrays), rows=np.arange(_TUNED), targets=truth),
            plan=Plan(epochs=1, batch=_plain.BATCH, norms="keep"),
            seen=spec.side**2,
            apart=True,
        )
        return float(fitting.train(lesson).history[-1]["images_per_second"])

    rates = [(mine(), _plain.fine_tune(net(), pixels, truth)) for _ in range(3)]
    ours, other = (max(each) for each in zip(*rates, strict=True))
    return Row(
        what="fine-tuning",
        figure=ours,
        unit="images/s",
        baseline="the same network in a plain float32 loop",
        baseline_figure=other,
        ratio=ours / other,
        notes=f"224 by 224, the whole network, AdamW, batch {_plain.BATCH}, {_TUNED} pictures an epoch; as medloop fine-tunes by "
        "default: bfloat16 where the processor has it, two parts of a batch at a time, statistics of batch norms kept",
    )


class _Flat:
    """Prepared pictures without the axis of slices."""

    def __init__(self, arrays: PreparedArrays) -> None:
        self.arrays = arrays

    def take(self, indices: Array) -> Array:
        """``(n, C, Y, X)``."""
        return self.arrays.take(indices)[:, :, 0]


def _stored(path: Path, pixels: Array) -> PreparedArrays:
    """Colour pictures ``(N, 3, Y, X)`` as prepared arrays on one shard."""
    np.save(path, pixels[:, :, None])
    places = np.arange(len(pixels), dtype=np.int32)
    return PreparedArrays(
        shape=(3, 1, *pixels.shape[2:]),
        dtype=np.dtype(np.uint8),
        paths=(path,),
        shards=np.zeros_like(places),
        rows=places,
        kinds=np.zeros_like(places),
        kind_list=(RowKind(None, None, True, None, None),),
        digests=np.zeros((len(pixels), 16), np.uint8),
        steps_key="bench",
    )


def _in_turns(ours: Callable[[], object], other: Callable[[], object], repeat: int = 3) -> tuple[float, float]:
    """The best wall time of each, measured in turns: what disturbs the machine disturbs both."""
    best = [np.inf, np.inf]
    for _ in range(repeat):
        for place, function in enumerate((ours, other)):
            start = time.perf_counter()
            function()
            best[place] = min(best[place], time.perf_counter() - start)
    return best[0], best[1]


def _alike(mine: Array, expected: Array) -> float:
    """The middle difference in units of each number's deviation between pictures. Raises where the two do not compute the same."""
    apart = float(np.median(np.abs(mine - expected) / np.maximum(expected.std(axis=0), 1e-6)))
    if apart > (0.1 if running.precision() == "bfloat16" else 1e-3):
        raise RuntimeError(f"features and baseline differ by {apart:.2g} of their deviation")
    return apart
