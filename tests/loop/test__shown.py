"""What the demo shows: diameters beside the truth, and a rule that catches a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop.cli.text import as_text
from medloop.loop import _shown
from medloop.requests import OutlinesResult

PREDICTIONS = """case,label,confidence,abstain
P0001/1#2.25.1,tumour,0.91,0
P0002/1#2.25.2,no tumour,0.8,0
P0003/1#2.25.3,tumour,0.7,0
P0004/1#2.25.4,no tumour,0.6,0
"""
MEASURED = """case,tumour count,tumour longest diameter (mm),violations
P0001/1#2.25.1,1,24,
P0002/1#2.25.2,0,,
P0003/1#2.25.3,2,41.5,
P0004/1#2.25.4,1,4,a plausible diameter: tumour longest diameter 4 mm (allowed: from 5 to 150 mm)
P0005/1#2.25.5,1,9,
"""
LESIONS = """patient,study,kind,longest_mm
P0001,1,tumour,25
P0003,1,tumour,12
P0003,1,tumour,40
P0004,1,cyst,31
"""


@pytest.fixture
def rows(tmp_path: Path):
    places = []
    for name, text in (("p.csv", PREDICTIONS), ("m.csv", MEASURED), ("l.csv", LESIONS)):
        places.append(tmp_path / name)
        places[-1].write_text(text)
    return _shown.shown(*places)


def test_studies_are_shown_with_their_largest_tumour_beside_the_truth(rows) -> None:
    assert [(row["case"], row["class"], row["found_mm"], row["true_mm"]) for row in rows] == [
        ("P0003_1", "tumour", 41.5, 40.0),
        ("P0001_1", "tumour", 24.0, 25.0),
        ("P0002_1", "no tumour", None, None),
        ("P0004_1", "no tumour", 4.0, None),
    ]
    assert _shown.mean_error_mm(rows) == 1.25
    assert _shown.mean_error_mm(rows[2:]) is None


def check_mistake(rows) -> None:
    found = _shown.mistaken(rows)
    assert found is not None
    assert (found["case"], found["mistaken_mm"]) == ("P0003_1", 415.0)
    [caught] = found["caught"]
    assert caught["rule"] == "a plausible diameter"
    assert "415" in caught["value"]
    assert "150" in caught["allowed"]


def test_a_rule_catches_centimetres_where_millimetres_are_meant(rows, monkeypatch) -> None:
    check_mistake(rows)
    assert _shown.mistaken(rows[2:3]) is None
    monkeypatch.setattr(_shown, "RULES", _shown.RULES.replace("150", "1500"))
    with pytest.raises(ValueError, match="not enough values"):
        check_mistake(rows)


def test_what_a_person_reads(rows) -> None:
    class Told:
        masks, measures, report = "found/masks", "found/measures.csv", "report.html"

    told = OutlinesResult(learn=Told(), predict=Told(), rows=rows, mean_error_mm=1.25, mistaken=_shown.mistaken(rows))  # type: ignore[arg-type]
    text = as_text(told)
    assert "41.5    40.0" in text
    assert "a plausible diameter: tumour longest diameter 4 mm" in text
    assert "a plausible diameter: tumour longest diameter 415 mm" in text
    assert "1.2 mm" in text
    assert "report.html" in text
