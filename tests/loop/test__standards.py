"""Codes in several standards: right ones pass, slips of the finger are caught with what was likely meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop.errors import InputError
from medloop.loop import _standards
from medloop.loop._codes import CODES, SNOMED, STANDARDS
from medloop.loop._standards import check_digit, mapping_of

GOOD = """
[classes.pneumonia]
snomed = 233604007
icd10 = "J18.9"
radlex = "RID5350"

[classes."suspicious mass"]
birads = "4B"
icd10 = "D48.6"

[[codes]]
standard = "icd10"
code = "D48.6"
name = "Neoplasm of uncertain or unknown behaviour: breast"
"""


def test_a_class_has_a_code_in_every_standard_named(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(GOOD)
    for said in (GOOD, str(tmp_path / "m.toml")):
        told = mapping_of(said).of(["pneumonia", "suspicious mass", "normal"])
        assert [(each["class"], each["standard"], each["code"]) for each in told] == [
            ("pneumonia", "SNOMED CT", "233604007"),
            ("pneumonia", "ICD-10", "J18.9"),
            ("pneumonia", "RadLex", "RID5350"),
            ("suspicious mass", "BI-RADS", "4B"),
            ("suspicious mass", "ICD-10", "D48.6"),
        ]
        assert told[0]["name"] == "Pneumonia"
    assert mapping_of(None).of(["pneumonia"]) == []


def test_every_code_of_the_list_has_its_form() -> None:
    for key, standard in STANDARDS.items():
        for code in CODES[standard]:
            told = mapping_of(f'[classes.x]\n{key} = "{code}"').of(["x"])
            assert [each["code"] for each in told] == [code]


@pytest.mark.parametrize("code", sorted(CODES[SNOMED])[:6])
def test_one_wrong_or_two_swapped_digits_are_seen(code: str) -> None:
    assert check_digit(code)
    wrong = [f"{code[:at]}{digit}{code[at + 1 :]}" for at in range(len(code)) for digit in "0123456789" if digit != code[at]]
    swapped = [f"{code[:at]}{code[at + 1]}{code[at]}{code[at + 2 :]}" for at in range(len(code) - 1) if code[at] != code[at + 1]]
    assert not any(check_digit(each) for each in (*wrong, *swapped))


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ('snomed = "233604008"', "bad-code", "check digit"),
        ('icd10 = "18.9"', "bad-code", "J18.9"),
        ('icd10 = "J18,9"', "bad-code", "dot"),
        ('radlex = "5350"', "bad-code", "RID5350"),
        ('birads = "7"', "bad-code", "4A"),
        ("snomed = true", "bad-code", "SNOMED"),
        ("icd10 = ['J18.9']", "bad-code", "ICD-10"),
        ('icd10 = "J18.8"', "unknown-code", "J18.9 (Pneumonia, unspecified)"),
        ('radlex = "RID5353"', "unknown-code", "RID5350 (pneumonia)"),
        ('icd11 = "CA40"', "unknown-standard", "icd10"),
        ('snomed = "<script>"', "bad-code", "SNOMED"),
    ],
)
def test_what_is_no_code_is_refused_with_the_nearest(text: str, code: str, says: str) -> None:
    with pytest.raises(InputError) as told:
        mapping_of(f"[classes.pneumonia]\n{text}")
    assert told.value.code == code
    assert says in f"{told.value.got} {told.value.allowed} {told.value.fix}"


@pytest.mark.parametrize(
    "text",
    ["classes = 3\n", "[classes]\nx = 1\n", "[clases.x]\nicd10 = 'J18.9'\n", "[[codes]]\ncode = 'J18.9'\n", "codes = 1\n", "[x"],
)
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        mapping_of(text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        mapping_of(str(tmp_path / "none.toml"))


def test_classes_the_model_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="Did you mean pneumonias"):
        mapping_of(GOOD).checked({"pneumonias", "suspicious mass"})
    assert mapping_of(GOOD).checked({"pneumonia", "suspicious mass", "normal"}).codes


def test_the_check_digit_is_what_sees_the_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_standards, "check_digit", lambda code: True)
    with pytest.raises(InputError) as told:
        mapping_of('[classes.x]\nsnomed = "233604008"')
    assert told.value.code == "unknown-code"
