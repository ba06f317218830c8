"""Plans are data: both ways through JSON, and checked."""

import pytest

from medloop.errors import InputError
from medloop.learning.plan import Plan


def test_json_both_ways():
    plan = Plan(epochs=7, rate=1e-3, average="swa", patience=3)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json({}) == Plan()


def test_whole_numbers_do_where_any_number_does():
    plan = Plan.from_json({"clip": 2, "rate": 1})
    assert plan == Plan(clip=2.0, rate=1.0)
    assert isinstance(plan.clip, float)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"epochs": 0}, "plan-epochs"),
        ({"epochs": 2.5}, "plan-epochs"),
        ({"epochs": True}, "plan-epochs"),
        ({"batch": "many"}, "plan-batch"),
        ({"batch": 0}, "plan-batch"),
        ({"rate": 0}, "plan-rate"),
        ({"rate": -1e-3}, "plan-rate"),
        ({"rate": float("nan")}, "plan-rate"),
        ({"rate": float("inf")}, "plan-rate"),
        ({"rate": "fast"}, "plan-rate"),
        ({"rate": None}, "plan-rate"),
        ({"momentum": 1.5}, "plan-momentum"),
        ({"warm_up": 1}, "plan-warm-up"),
        ({"decay": -0.1}, "plan-decay"),
        ({"patience": -1}, "plan-patience"),
        ({"optimiser": "adam"}, "unknown-plan-optimiser"),
        ({"schedule": "cosinus"}, "unknown-plan-schedule"),
        ({"average": 3}, "plan-average"),
        ({"epoch": 3}, "unknown-training-parameter"),
    ],
)
def test_what_makes_no_sense_is_an_error(said, code):
    with pytest.raises(InputError) as error:
        Plan.from_json(said)
    assert error.value.code == code


def test_a_misspelt_word_offers_the_nearest():
    with pytest.raises(InputError) as error:
        Plan.from_json({"optimizer": "sgd"})
    assert "optimiser" in error.value.fix
    with pytest.raises(InputError) as error:
        Plan(schedule="cosinus")
    assert "cosine" in error.value.fix


def test_the_last_epoch():
    assert (Plan(epochs=5).last, Plan(epochs=5, stop_after=3).last, Plan(epochs=5, stop_after=9).last) == (5, 3, 5)
