"""What a person reads is said in words that fit the numbers."""

import pytest

from medloop.cli.text import as_text
from medloop.requests import InspectResult


@pytest.mark.parametrize(
    ("files", "cases", "patients", "says"),
    [
        (1, 1, None, "1 file: 1 used, 0 rejected. 1 case of an unknown patient."),
        (1, 1, 1, "1 file: 1 used, 0 rejected. 1 case of 1 patient."),
        (3, 3, None, "3 files: 3 used, 0 rejected. 3 cases of unknown patients."),
        (3, 3, 2, "3 files: 3 used, 0 rejected. 3 cases of 2 patients."),
    ],
)
def test_one_case_is_one_case(make_inspected, files, cases, patients, says) -> None:
    assert as_text(make_inspected(files=files, used=files, cases=cases, patients=patients)).splitlines()[0] == says


@pytest.fixture
def make_inspected():
    """A function that makes the result of an inspection: numbers as said, everything else empty."""
    empty = {"str": "", "int": 0, "list": [], "dict": {}, "bool": False, "float": 0.0}

    def make(**said) -> InspectResult:
        kinds = InspectResult.__annotations__
        nothing = {
            name: next((value for word, value in empty.items() if str(kind).startswith(word)), None) for name, kind in kinds.items()
        }
        return InspectResult(**(nothing | said))

    return make
