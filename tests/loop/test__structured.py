"""Answers judged case by case: growth is held against the study before, once all have been heard."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import readers
from medloop.compute import Compute
from medloop.loop._structured import Judge
from medloop.targets import reconstruction, rules
from medloop.types import Case, Dataset, Findings, ImageRef, Target, TargetKind, Truth, Violation

LARGE = Target(TargetKind.MEASURES, ("diameter",), "measures", units=("mm",))
ASKED = rules.parse('[[rule]]\nname = "growth"\ngrowth = "diameter"\nat_most = 1.2\n', (LARGE,), False, True)
OTHER = Violation("another", "broken", "always")
PRIORS, MM = (None, "a", "b", None), (10.0, 15.0, 16.0, 90.0)


@pytest.fixture
def told(tmp_path):
    """A function: what is told of four studies, each but the last the one before the next, heard from the last to the first."""
    names = "abcd"
    refs = [ImageRef(name, "nifti", (name,), spacing_mm=(1.0, 1.0, 1.0)) for name in names]
    cases = tuple(Case(name, (ref,), prior=prior) for name, ref, prior in zip(names, refs, PRIORS, strict=True))
    rows = np.arange(4)
    truth = Truth(LARGE, np.ones(4, bool), numbers=np.array(MM)[:, None])
    dataset = Dataset(cases, LARGE, np.zeros(4), rows, rows, np.array(["test"] * 4), "f", further=(truth,))

    def tell(asked):
        with Judge(dataset, tmp_path) as judge:
            for row in reversed(rows.tolist()):
                judge.hear(row, Findings(names[row], measures={"diameter": MM[row]}, violations=(OTHER,) if row == 3 else ()))
            return [(case, each.rule) for case, each in judge.tell(0, asked)[0].violations]

    return tell


def test_growth_since_the_study_that_is_named_is_told(told):
    assert told(ASKED) == [("b", "growth"), ("d", "another")]
    assert told(None) == [("d", "another")]


def test_without_looking_back_it_would_pass_silently(told, monkeypatch):
    monkeypatch.setattr(Judge, "_grow", lambda self, asked: None)
    assert told(ASKED) == [("d", "another")]


@pytest.fixture
def odd(tmp_path):
    """A function: the evidence for four pictures whose anomaly is ``bright`` where their mask is, as far as that is known."""
    masks = Target(TargetKind.MASKS, ("odd",), "masks")
    folder, mask = tmp_path / "pictures", np.zeros((16, 16), np.uint8)
    mask[4:9, 3:8] = 1
    folder.mkdir()
    for name, pixels in (("image", mask * 90 + 40), ("mask", mask), ("small", mask[:9])):
        Pillow.fromarray(pixels).save(folder / f"{name}.png")
    with Compute(0) as compute:
        refs = {ref.name: ref for ref in readers.collect(str(folder), images=None, cache=None, compute=compute).refs}
    cases, rows = tuple(Case(name, (refs["image.png"],)) for name in "abcd"), np.arange(4)
    known = (refs["mask.png"], refs["mask.png"], None, refs["small.png"])
    truth = Truth(masks, np.array([True, True, False, True]), masks=known, lookup=((0, 0), (1, 1)))
    dataset = Dataset(cases, masks, np.zeros(4), rows, rows, np.array(["test"] * 4), "f", further=(truth,))

    def tell(bright):
        anomaly = np.where(mask, bright, 20)[None].astype(np.uint8)
        with Judge(dataset, tmp_path / "cache") as judge:
            for row in rows.tolist():
                told = reconstruction.summary(np.full(1, 0.1 * (row + 1)), anomaly)
                judge.hear(row, Findings("abcd"[row], mask=mask[None], anomaly=anomaly, measures=told))
            return judge.tell()

    return tell


def test_an_anomaly_map_is_held_against_masks_where_they_are_known(odd):
    outlines, found = odd(150)
    assert (outlines.names, found.names) == (("a", "b"), ("a", "b", "c"))
    assert found.figures["anomaly_auc"].value == 1
    assert odd(5)[1].figures["anomaly_auc"].value == 0
    assert odd(20)[1].figures["anomaly_auc"].value == 0.5
    assert found.figures["reconstruction_error"].value == pytest.approx(0.2)
    assert np.isnan(found.by_case["anomaly_auc"]).tolist() == [False, False, True]
    assert found.unknown == 1, "a mask of another size than its image"
    title, (first, *_) = found.overlays[0]
    assert title == "Most unusual cases"
    warm = np.asarray(first.picture, int)
    assert (warm[..., 0] - warm[..., 2]).max() > 100, "it is drawn"
