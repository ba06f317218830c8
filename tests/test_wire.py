import json
import math
from typing import get_type_hints

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.requests import VERBS, ExportRequest, LearnRequest
from medloop.types import Metric
from medloop.wire import from_json, to_json


def test_what_json_cannot_say_becomes_null() -> None:
    said = to_json({"a": math.nan, "b": np.float32(0.5), "c": np.arange(2), "d": Metric(0.9, None, None, "few")})
    assert json.loads(json.dumps(said, allow_nan=False)) == {
        "a": None,
        "b": 0.5,
        "c": [0, 1],
        "d": {"value": 0.9, "low": None, "high": None, "reason": "few"},
    }


def test_unknown_keys_and_wrong_types_are_refused_by_name() -> None:
    with pytest.raises(InputError) as caught:
        from_json(LearnRequest, {"src": "scans", "budgt": "5m", "folds": "many"})
    assert "budgt" in caught.value.got
    assert "folds" in caught.value.got


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match="src"):
        from_json(LearnRequest, {})


def test_as_is_written_as_people_write_it() -> None:
    assert from_json(ExportRequest, {"run": "r", "as": "csv"}) == ExportRequest(run="r", as_="csv")
    assert to_json(ExportRequest(run="r"))["as"] == "csv"


@pytest.mark.parametrize("verb", VERBS)
def test_every_request_goes_through_json_and_back(verb: str) -> None:
    import dataclasses

    kind = VERBS[verb][1]
    hints = get_type_hints(kind)
    needed = {
        item.name: 7 if hints[item.name] is int else "x" for item in dataclasses.fields(kind) if item.default is dataclasses.MISSING
    }
    request = kind(**needed)
    assert from_json(kind, json.loads(json.dumps(to_json(request)))) == request
