"""What every module of the room of targets promises, whichever it is: each registered name enters by itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from medloop import registry, targets
from medloop.types import Findings, Metric, Target, TargetKind

SHAPE = (3, 24, 32)
EMPTY = Findings("empty", mask=np.zeros(SHAPE, np.uint8), boxes=np.zeros((0, 6)), box_classes=np.zeros(0, np.int64),
                 box_scores=np.zeros(0), anomaly=np.zeros(SHAPE, np.uint8))  # fmt: skip
TARGETS = {
    TargetKind.MASKS: Target(TargetKind.MASKS, ("organ", "tumour"), "masks"),
    TargetKind.BOXES: Target(TargetKind.BOXES, ("organ", "tumour"), "boxes"),
    TargetKind.MEASURES: Target(TargetKind.MEASURES, ("diameter", "volume"), "measures", units=("mm", "ml")),
    TargetKind.RECONSTRUCTION: Target(TargetKind.RECONSTRUCTION, (), "reconstruction"),
}
STRUCTURED = [kind for kind in TargetKind if kind.structured]


def findings(shift: int = 0, case: str = "case") -> Findings:
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 4 + shift : 16 + shift, 5:20] = 1
    mask[1:, 6 + shift : 11 + shift, 8:14] = 2
    return Findings(
        case,
        mask=mask,
        boxes=np.array([[0, 4 + shift, 5, 3, 16 + shift, 20], [1, 6 + shift, 8, 3, 11 + shift, 14]], np.float64),
        box_classes=np.array([0, 1]),
        box_scores=np.array([0.9, 0.8]),
        measures={"diameter": 10.0 + shift, "volume": 2.0 + 0.1 * shift, "reconstruction error": 0.1, "mean anomaly": 0.4 + shift},
        anomaly=np.where(mask > 0, 150, 10).astype(np.uint8),
    )


def test_each_structured_kind_has_a_module_of_its_name():
    for kind in STRUCTURED:
        assert targets.of(kind).KIND is kind


@pytest.mark.parametrize("name", registry.names("targets"))
def test_a_module_says_what_it_serves_and_how_it_is_judged(name):
    module = registry.load("targets", name)
    assert module.__doc__
    assert module.KIND is None or (module.KIND.structured and module.KIND.value == name)
    assert callable(module.metrics)
    if module.KIND is not None:
        assert callable(module.decode)


@pytest.mark.parametrize("part", ["tally", "merit", "metrics", "slice_of", "picture"])
@pytest.mark.parametrize("kind", STRUCTURED)
def test_a_target_takes_what_the_contract_names(kind, part):
    promised = inspect.signature(getattr(targets.TargetModule, part)).parameters
    given = inspect.signature(getattr(targets.of(kind), part)).parameters
    assert len(given) == len(promised) - 1
    for mine, theirs in zip(given.values(), list(promised.values())[1:], strict=True):
        assert mine.default == theirs.default


@pytest.mark.parametrize("kind", STRUCTURED)
def test_figures_follow_the_answers(kind):
    module, target = targets.of(kind), TARGETS[kind]
    patients = np.arange(6)
    good = [module.tally(target, findings(0), findings(0), (2.0, 1.0, 1.0)) for _ in patients]
    bad = [module.tally(target, findings(3), findings(0), (2.0, 1.0, 1.0)) for _ in patients]
    assert module.merit(good[0]) > module.merit(bad[0])
    right, wrong = module.metrics(target, good, patients), module.metrics(target, bad, patients)
    assert right.keys() == wrong.keys()
    assert any(right[name].value != wrong[name].value for name in right)
    for metric in (*right.values(), *wrong.values()):
        assert isinstance(metric, Metric)
        assert metric.value is not None or metric.reason
        if metric.low is not None:
            assert metric.low <= metric.value <= metric.high


@pytest.mark.parametrize("kind", STRUCTURED)
def test_nothing_found_and_nothing_there_are_judged_without_a_word(kind):
    module, target = targets.of(kind), TARGETS[kind]
    for found, truth in ((EMPTY, findings()), (findings(), EMPTY), (EMPTY, EMPTY), (Findings("none"), findings())):
        tally = module.tally(target, found, truth, None)
        assert np.isnan(module.merit(tally)) or module.merit(tally) <= 1
        assert module.metrics(target, [tally] * 5, np.arange(5))


@pytest.mark.parametrize("kind", STRUCTURED)
def test_a_picture_is_new_and_of_the_same_size(kind):
    module, target = targets.of(kind), TARGETS[kind]
    rgb = np.full((*SHAPE[1:], 3), 120, np.uint8)
    z = module.slice_of(findings(), findings(2))
    assert 0 <= z < SHAPE[0]
    for found, truth in ((findings(), findings(2)), (findings(), None), (EMPTY, EMPTY), (Findings("none"), None)):
        drawn = module.picture(rgb, target, found, truth, z)
        assert drawn.shape == rgb.shape
        assert drawn.dtype == np.uint8
        assert (rgb == 120).all()
    assert (module.picture(rgb, target, findings(), findings(2), z) != 120).any()
    assert module.slice_of(EMPTY) == 0


@pytest.mark.parametrize("kind", STRUCTURED)
def test_the_check_of_figures_sees_a_target_that_looks_at_the_truth_only(kind, monkeypatch):
    module = targets.of(kind)
    honest = module.tally
    monkeypatch.setattr(module, "tally", lambda target, found, truth, spacing_mm: honest(target, truth, truth, spacing_mm))
    with pytest.raises(AssertionError):
        test_figures_follow_the_answers(kind)


@pytest.mark.parametrize("kind", STRUCTURED)
def test_the_check_of_pictures_sees_one_that_draws_into_its_input(kind, monkeypatch):
    def spoil(rgb, target, found, truth=None, z=0):
        rgb[:2] = 0
        return rgb

    monkeypatch.setattr(module := targets.of(kind), "picture", spoil)
    assert isinstance(module, type(sys))
    with pytest.raises(AssertionError):
        test_a_picture_is_new_and_of_the_same_size(kind)


def test_the_room_is_listed_without_import_and_needs_no_torch():
    script = (
        "import sys; from medloop import registry; names = registry.names('targets');"
        "print(any(f'medloop.targets.{name}' in sys.modules for name in names));"
        "[registry.load('targets', name) for name in names]; print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


def test_the_check_of_kinds_sees_a_module_under_another_name(monkeypatch):
    monkeypatch.setattr(registry, "load", lambda room, name: SimpleNamespace(KIND=TargetKind.BOXES, __doc__="x", metrics=print))
    with pytest.raises(AssertionError):
        test_a_module_says_what_it_serves_and_how_it_is_judged("masks")
