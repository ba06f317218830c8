"""Rules of clinicians: read strictly, held against answers, never broken in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.targets import _rule_checks, measures, rules
from medloop.types import Findings, Target, TargetKind

MASKS = Target(TargetKind.MASKS, ("liver", "tumour"), "masks")
BOXES = Target(TargetKind.BOXES, ("cyst",), "boxes")
NUMBERS = Target(TargetKind.MEASURES, ("heart rate", "wall"), "measures", units=("1/min", "mm"))
TARGETS = (MASKS, BOXES, NUMBERS)
SPACING = (2.0, 1.0, 1.0)
EXAMPLE = re.search(r"```toml\n(.*?)```", rules.__doc__, re.S).group(1)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rules.md"


def _parse(body, *, flat=False, spacing=None):
    return rules.parse(body if "[[rule]]" in body else f'[[rule]]\nname = "n"\n{body}', TARGETS, flat, spacing)


def _patient(*tumours, case="case", spacing=SPACING):
    """A liver of 12 by 30 by 30 voxels with tumours in boxes ``z0, z1, y0, y1, x0, x1``, measured."""
    mask = np.zeros((20, 40, 40), np.uint8)
    mask[4:16, 5:35, 5:35] = 1
    for z0, z1, y0, y1, x0, x1 in tumours:
        mask[z0:z1, y0:y1, x0:x1] = 2
    return Findings(case, mask=mask, measures=measures.measure(mask, spacing, MASKS.classes))


SMALL, LARGE, OUTSIDE = (8, 10, 10, 13, 10, 13), (5, 15, 6, 34, 6, 34), (17, 20, 0, 20, 0, 20)


def _broken(body, findings, prior=None, spacing=SPACING):
    return rules.check(_parse(body), findings, spacing, prior)


def test_the_example_holds_for_a_plausible_patient():
    found = _patient(SMALL)
    assert _broken(EXAMPLE, found, prior=found) == ()


def test_the_page_of_rules_says_what_is_read():
    page = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert _parse(shown) == _parse(EXAMPLE)
    keys = (*rules.KINDS, "at_least", "at_most", "unit", "reason", "weight")
    assert [key for key in keys if f"`{key}`" not in page] == []
    assert [unit for unit in rules.UNITS if unit and f"`{unit}`" not in page] == []


CASES = [
    ('measure = "tumour longest diameter"\nat_most = 1\nunit = "cm"', (LARGE,), "at most 1 cm"),
    ('measure = "tumour volume"\nat_least = 1\nunit = "cm3"', (SMALL,), "at least 1 cm3"),
    ('measure = "tumour count"\nat_most = 1', (SMALL, OUTSIDE), "at most 1"),
    ('count = "tumour"\nat_most = 1', (SMALL, OUTSIDE), "at most 1"),
    ('count = "tumour"\nat_least = 1', (), "at least 1"),
    ('inside = { what = "tumour", of = "liver", share = 0.95 }', (OUTSIDE,), "at least 95 %"),
    ('fraction = { what = "tumour", of = "liver" }\nat_most = 0.6', (LARGE,), "at most 60 %"),
    ('growth = "tumour longest diameter"\nat_most = 1.2', (LARGE,), "at most 1.2 times last time, or a reason"),
]


def _all_told():
    prior = _patient(SMALL)
    told = [_broken(body, _patient(*tumours), prior) for body, tumours, _ in CASES]
    return [[each.allowed for each in found] for found in told] == [[allowed] for *_, allowed in CASES]


def test_every_kind_of_rule_is_told_when_it_is_broken():
    assert _all_told()


def test_a_violation_that_is_swallowed_is_seen(monkeypatch):
    monkeypatch.setattr(_rule_checks, "_share", lambda rule, share, words: None)
    assert not _all_told()


def test_a_violation_names_the_rule_and_shows_the_value():
    (found,) = _broken('measure = "tumour longest diameter"\nat_most = 3\nunit = "cm"', _patient(LARGE))
    longest = _patient(LARGE).measures["tumour longest diameter"]
    assert found.rule == "n"
    assert found.value == f"tumour longest diameter {longest / 10:.4g} cm"
    (found,) = _broken('fraction = { what = "tumour", of = "liver" }\nat_most = 0.6', _patient(LARGE))
    assert found.value == f"{10 * 28 * 28 / (12 * 30 * 30):.1%} of liver is tumour"


def test_bounds_are_allowed_themselves():
    assert _broken('count = "tumour"\nat_least = 1\nat_most = 1', _patient(SMALL)) == ()


def test_what_is_not_there_breaks_no_rule_of_size_or_place():
    kinds = [body for body, *_ in CASES if "count" not in body]
    for body in kinds:
        assert _broken(body, _patient(), _patient(SMALL)) == ()


def test_what_cannot_be_checked_is_told():
    in_pixels = _patient(SMALL, spacing=None)
    (found,) = _broken('measure = "tumour longest diameter"\nat_most = 300\nunit = "mm"', in_pixels, spacing=None)
    assert "not checked" in found.value
    assert "px" in found.value
    for body, *_ in CASES:
        (found,) = _broken(body, Findings("case"), prior=_patient(SMALL))
        assert "not checked" in found.value


def test_rules_in_pixels_hold_where_there_is_no_spacing():
    body = 'measure = "tumour longest diameter"\nat_most = 3\nunit = "px"'
    (found,) = _broken(body, _patient(SMALL, spacing=None), spacing=None)
    assert found.value.endswith("px")


def test_growth_needs_a_last_time():
    body = 'growth = "tumour longest diameter"'
    assert _broken(body, _patient(LARGE)) == ()
    assert _broken(body, _patient(SMALL), prior=_patient(LARGE)) == ()
    (found,) = _broken(body, _patient(LARGE), prior=_patient(SMALL))
    assert "last time" in found.value
    (found,) = _broken(body, _patient(SMALL), prior=_patient())
    assert "nothing last time" in found.value


def test_boxes_are_counted_where_they_are_shown():
    found = Findings("case", boxes=np.zeros((3, 6)), box_classes=np.zeros(3, int), box_scores=np.array([0.9, 0.6, 0.4]))
    assert _broken('count = "cyst"\nat_most = 2', found) == ()
    assert _broken('count = "cyst"\nat_most = 1', found)[0].value == "2 cyst"


def test_measures_that_are_told_directly_keep_their_unit_without_a_spacing():
    found = Findings("case", measures={"heart rate": 190.0, "wall": 11.0})
    assert _broken('measure = "heart rate"\nat_most = 180\nunit = "1/min"', found, spacing=None)[0].value == "heart rate 190 1/min"
    assert _broken('measure = "wall"\nat_most = 1\nunit = "cm"', found, spacing=None)[0].value == "wall 1.1 cm"


def test_a_hole_and_a_notch_are_inside_and_a_neighbour_is_not():
    ring = np.zeros((1, 30, 30), bool)
    ring[0, 5:25, 5:25] = True
    ring[0, 10:15, 10:15] = False
    ring[0, 18:22, 20:25] = False
    inside = rules.enclosed(ring)
    assert inside[0, 10:15, 10:15].all()
    assert inside[0, 18:22, 20:25].all()
    assert not inside[0, 5:25, 25:].any()
    assert not inside[0, :5].any()


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ('measure = "tumor longest diameter"\nat_most = 3\nunit = "mm"', "unknown-measure", "Did you mean tumour longest diameter"),
        ('growth = "tumour longest diametre"', "unknown-measure", "Did you mean tumour longest diameter"),
        ('count = "tumuor"\nat_most = 3', "unknown-class", "Did you mean tumour"),
        ('inside = { what = "tumour", of = "livr" }', "unknown-class", "Did you mean liver"),
        ('fraction = { what = "cyst", of = "liver" }\nat_most = 0.5', "unknown-class", "liver, tumour"),
        ('measure = "tumour volume"\nat_most = 3\nunit = "mm"', "wrong-unit", "a volume"),
        ('measure = "tumour volume"\nat_most = 3', "wrong-unit", 'unit = "ml"'),
        ('measure = "heart rate"\nat_most = 3\nunit = "mm"', "wrong-unit", "1/min"),
        ('count = "tumour"\nat_most = 3\nunit = "mm"', "wrong-unit", "Leave the unit out"),
        ('measure = "tumour volume"\nat_most = 3\nunit = "mll"', "unknown-unit", "ml"),
        ('count = "tumour"\nat_least = 3\nat_most = 2', "contradiction", "nothing is both"),
        ('count = "tumour"\nat_most = 2.5', "bad-rules", "whole number"),
        ('count = "tumour"\nat_most = -1', "bad-rules", "whole number"),
        ('count = "tumour"\nat_most = "two"', "bad-rules", "at_most"),
        ('count = "tumour"\nat_most = true', "bad-rules", "at_most"),
        ('count = "tumour"\nat_most = nan', "bad-rules", "at_most"),
        ('count = "tumour"', "bad-rules", "no bound"),
        ('count = "tumour"\nat_mots = 3', "bad-rules", "Did you mean at_most"),
        ('count = "tumour"\ngrowth = "tumour volume"\nat_most = 3', "bad-rules", "2 of measure"),
        ("at_most = 3", "bad-rules", "0 of measure"),
        ("count = 3\nat_most = 3", "bad-rules", "name in quotes"),
        ('inside = "liver"', "bad-rules", "what"),
        ('inside = { what = "tumour", of = "liver", shar = 0.9 }', "bad-rules", "Did you mean share"),
        ('inside = { what = "tumour", of = "liver", share = 95 }', "bad-rules", "0.95"),
        ('inside = { what = "tumour", of = "liver" }\nat_most = 1', "bad-rules", "share alone"),
        ('inside = { what = "liver", of = "liver" }', "bad-rules", "itself"),
        ('fraction = { what = "tumour", of = "liver" }\nat_most = 60', "bad-rules", "0 to 1"),
        ('growth = "tumour volume"\nat_most = -2', "bad-rules", "times"),
        ('count = "tumour"\nat_most = 3\nweight = -1', "bad-rules", "weight"),
        ('count = "tumour"\nat_most = 3\nreason = 1', "bad-rules", "reason"),
        ('count = "tumour"\nat_most = 3\nunit = 1', "bad-rules", "unit"),
        ("[[rule]]\nat_most = 3", "bad-rules", "without a name"),
        ("[rule]\nname = 3 # [[rule]]", "bad-rules", "double brackets"),
        ("[[rules]] # [[rule]]", "bad-rules", "Did you mean rule"),
        ("[[rule]]\nname = ", "bad-rules", "not TOML"),
    ],
)
def test_what_is_wrong_with_a_rule_is_found_before_training(body, code, says):
    with pytest.raises(InputError) as caught:
        _parse(body)
    assert caught.value.code == code
    assert says in str(caught.value)


def _two(first, second):
    return f'[[rule]]\nname = "one"\n{first}\n[[rule]]\nname = "two"\n{second}'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('measure = "tumour volume"\nat_least = 2\nunit = "ml"', 'measure = "tumour volume"\nat_most = 1500\nunit = "mm3"'),
        ('count = "tumour"\nat_most = 2', 'count = "tumour"\nat_least = 3'),
        (
            'measure = "tumour perpendicular diameter"\nat_least = 3\nunit = "cm"',
            'measure = "tumour longest diameter"\nat_most = 20\nunit = "mm"',
        ),
    ],
)
def test_rules_that_cannot_both_hold_are_refused(first, second):
    with pytest.raises(InputError) as caught:
        _parse(_two(first, second))
    assert caught.value.code == "contradiction"
    assert "'one'" in str(caught.value)
    assert "'two'" in str(caught.value)


def test_rules_that_can_both_hold_are_taken():
    apart = _two('count = "tumour"\nat_most = 2', 'count = "liver"\nat_least = 3')
    meeting = _two('measure = "tumour volume"\nat_least = 2\nunit = "ml"', 'measure = "tumour volume"\nat_most = 2\nunit = "cm3"')
    assert len(_parse(apart)) == len(_parse(meeting)) == 2
    with pytest.raises(InputError, match="two rules named"):
        _parse(_two('count = "tumour"\nat_most = 2', 'count = "liver"\nat_least = 3').replace('"two"', '"one"'))


def test_a_measure_that_the_images_cannot_have_is_refused():
    area = 'measure = "tumour area"\nat_most = 3\nunit = "mm2"'
    assert len(_parse(area, flat=True)) == len(_parse(area, flat=None)) == 1
    with pytest.raises(InputError, match="no measure named"):
        _parse(area, flat=False)
    with pytest.raises(InputError, match="in pixels"):
        _parse('measure = "tumour longest diameter"\nat_most = 3\nunit = "mm"', spacing=False)
    with pytest.raises(InputError, match="a length"):
        _parse('measure = "tumour longest diameter"\nat_most = 3\nunit = "px"', spacing=True)


def test_rules_about_what_is_not_learnt_are_refused():
    for body in ('count = "tumour"\nat_most = 3', 'measure = "tumour volume"\nat_most = 3\nunit = "ml"'):
        with pytest.raises(InputError, match="learnt"):
            rules.parse(f'[[rule]]\nname = "n"\n{body}', ())


def test_toml_and_json_both_ways():
    every = EXAMPLE + '\n[[rule]]\nname = "cysts"\ncount = "cyst"\nat_most = 4\nweight = 0\n'
    parsed = _parse(every)
    assert _parse(rules.to_toml(parsed)) == parsed
    assert rules.from_json(json.loads(json.dumps(rules.to_json(parsed)))) == parsed
    assert len(_parse("# [[rule]]")) == 0


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        rules.load(tmp_path / "none.toml", TARGETS)
    (tmp_path / "rules.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        rules.load(tmp_path / "rules.toml", TARGETS)
    (tmp_path / "rules.toml").write_text(EXAMPLE)
    assert len(rules.load(tmp_path / "rules.toml", TARGETS)) == 5


def test_which_rules_pull_while_learning():
    sizes = '\n[[rule]]\nname = "v"\nmeasure = "tumour volume"\nat_least = 2\nunit = "ml"'
    counts = (
        '\n[[rule]]\nname = "c"\ncount = "liver"\nat_least = 1\n[[rule]]\nname = "0"\ncount = "tumour"\nat_most = 4\nweight = 0'
    )
    found = {each.rule: each for each in rules.penalties(_parse(EXAMPLE + sizes + counts))}
    assert list(found) == ["tumours lie in the liver", "some liver is left", "v", "c"]
    assert (found["v"].low, found["v"].axes, found["v"].what) == (2000, 3, 2)
    flat = _parse('measure = "tumour area"\nat_most = 3\nunit = "cm2"', flat=True)
    assert rules.penalties(flat)[0].high == pytest.approx(300)


def test_how_often_rules_are_broken():
    parsed = _parse(EXAMPLE)
    tallies = [rules.check(parsed, _patient(LARGE if number % 2 else SMALL), SPACING) for number in range(10)]
    figures = rules.metrics(tallies, np.arange(10))
    assert figures["broken"].value == figures["broken_some liver is left"].value == 0.5
    assert figures["broken"].low < 0.5 < figures["broken"].high
