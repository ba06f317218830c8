"""Pages made once for all tests of them."""

from dataclasses import replace

import pytest

from medloop.reporting import evaluate_page, inspect_page, learn_page
from tests.reporting import made


@pytest.fixture(scope="session")
def pages():
    """Every kind of page, by name."""
    given = {kind: made.evidence(kind, 120) for kind in made.TARGETS}
    found = {f"learn {kind}": learn_page(made.learnt(each), each) for kind, each in given.items()}
    found["evaluate"] = evaluate_page(made.evaluated(given["binary"]), replace(given["binary"], protocol="external"))
    found["learn with heat"] = learn_page(made.learnt(given["binary"]), made.with_heat(given["binary"]))
    both = made.with_structured(given["multi-class"])
    found["learn structured"] = learn_page(made.learnt(both), both)
    found["learn outlines"] = learn_page(made.learnt(made.only_outlines()), made.only_outlines())
    found["explain"] = made.explained(given["binary"])
    names = {"normal": [f"scan_{k:04d}.png" for k in range(60)], "pneumonia": [f"scan_{k:04d}.png" for k in range(60, 90)]}
    found["inspect"] = inspect_page(made.inspected(), lambda name: made.pictures(int(name[5:9])), names)
    return found
