"""Where a model looked, in the report of a run and beside predictions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import medloop
from medloop.loop import _explained, _heat
from medloop.requests import LearnResult
from medloop.types import Prediction
from tests.loop.brief import brief


@pytest.fixture(scope="module")
def learnt(pngs, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> LearnResult:
    """A run with time for heat."""
    with brief(heat=True):
        return medloop.learn(pngs.src, workspace=tmp_path_factory.mktemp("w"), recipe=plain, workers=1, **pngs.options)


def pictures_in(page: str) -> tuple[int, int]:
    """Pictures in all, and those of heat."""
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    return len(alternatives), sum("where the model looked" in each for each in alternatives)


def test_a_report_shows_where_the_model_looked(learnt: LearnResult) -> None:
    page = Path(learnt.report).read_text(encoding="utf-8")
    every, hot = pictures_in(page)
    assert 1 <= hot <= every / 2
    assert "found by covering one part of the picture after another" in page
    assert len(page) < 3_000_000


def test_predictions_are_explained_when_asked(learnt: LearnResult, pngs, tmp_path: Path) -> None:
    made = medloop.predict(learnt.model, pngs.src, workspace=tmp_path / "w", out=tmp_path / "p.csv", explain=True, workers=1)
    assert made.explained == str(tmp_path / "p-explained.html")
    page = Path(made.explained).read_text(encoding="utf-8")
    assert pictures_in(page) == (2 * _explained.MOST, _explained.MOST)
    assert f"The {_explained.MOST} least sure of {pngs.cases} cases" in page
    assert len(page) < 3_000_000
    plain = medloop.predict(learnt.model, pngs.src, workspace=tmp_path / "w", out=tmp_path / "q.csv", workers=1)
    assert plain.explained is None
    assert (tmp_path / "q.csv").read_text() == (tmp_path / "p.csv").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"w", "p.csv", "q.csv", "p-explained.html"}


def test_of_many_cases_the_least_sure_are_shown() -> None:
    def told(confidence):
        n = len(confidence)
        return Prediction(("x",) * n, np.ones((n, 2)), ("a",) * n, np.asarray(confidence), np.zeros(n, bool))

    assert _explained._chosen(told([0.9, 0.5, 0.7])).tolist() == [0, 1, 2]
    many = np.linspace(1, 0.5, 100)
    assert _explained._chosen(told(many)).tolist() == list(range(99, 39, -1))


def test_a_prepared_image_is_shown_as_it_is(stored_arrays) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 1, 8, 9), dtype=np.uint8)
    image = _heat.prepared_image(stored_arrays(pixels, colour=True, spacing_mm=(1.0, 2.0, 3.0)), 2)
    assert np.array_equal(image.pixels[0], pixels[2])
    assert image.colour
    assert image.spacing_mm == (1.0, 2.0, 3.0)
