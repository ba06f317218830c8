import pytest
import sqlalchemy as sa

from medloop.errors import InputError, MedloopError, Refused
from medloop.store import audit, models
from medloop.store.records import LookRow, ModelRow, PromotionRow


@pytest.fixture
def pair(store):
    """A champion and a challenger."""
    first = models.add(store, ModelRow(name="first", path="models/first", family="classical"), "ada")
    models.decide(store, PromotionRow(champion_id=None, challenger_id=first.id, decision="promoted", by="rule"), "ada")
    second = models.add(store, ModelRow(name="second", path="models/second", family="transfer", parent=first.id), "ada")
    return first.id, second.id


def states(store):
    return {row.name: row.state for row in models.every(store)}


def test_promotion_and_the_way_back(store, pair):
    first, second = pair
    models.decide(store, PromotionRow(champion_id=first, challenger_id=second, decision="promoted", by="rule"), "ada")
    assert states(store) == {"first": "former", "second": "champion"}
    models.decide(
        store, PromotionRow(champion_id=second, challenger_id=first, decision="rolled-back", by="ada", reason="odd"), "ada"
    )
    assert models.champion(store).id == first
    assert states(store) == {"first": "champion", "second": "former"}
    assert [row.decision for row in models.decisions(store)] == ["rolled-back", "promoted", "promoted"]
    assert audit.verify(store) == []


@pytest.mark.parametrize(("decision", "state"), [("refused", "refused"), ("needs-person", "challenger")])
def test_other_decisions_leave_the_champion(store, pair, decision, state):
    first, second = pair
    models.decide(store, PromotionRow(champion_id=first, challenger_id=second, decision=decision, by="rule"), "ada")
    assert states(store) == {"first": "champion", "second": state}


def test_a_decision_about_a_former_champion_is_refused(store, pair):
    first, second = pair
    models.decide(store, PromotionRow(champion_id=first, challenger_id=second, decision="promoted", by="rule"), "ada")
    third = models.add(store, ModelRow(name="third", path="models/third", family="transfer"), "ada")
    with pytest.raises(Refused, match="Another model"):
        models.decide(store, PromotionRow(champion_id=first, challenger_id=third.id, decision="promoted", by="rule"), "ada")
    assert models.champion(store).id == second


def test_two_champions_cannot_be_even_by_hand(store, pair):
    with pytest.raises(sa.exc.IntegrityError), store.write() as connection:
        connection.exec_driver_sql("UPDATE models SET state = 'champion'")


@pytest.mark.parametrize("wrong", [{"name": "first"}, {"state": "king"}, {"state": "champion"}])
def test_models_that_cannot_be_added(store, pair, wrong):
    with pytest.raises(InputError):
        models.add(store, ModelRow(**{"name": "new", "path": "p", "family": "f"} | wrong), "ada")


def test_a_decision_that_is_none(store, pair):
    with pytest.raises(MedloopError, match="Did you mean promoted"):
        models.decide(store, PromotionRow(champion_id=pair[0], challenger_id=pair[1], decision="promote", by="x"), "ada")


def test_looks_are_counted_by_test_set(store):
    assert [models.look(store, LookRow(test_set="a", model_id=1, by="ada")) for _ in range(3)] == [1, 2, 3]
    assert (models.looked(store, "a"), models.looked(store, "b")) == (3, 0)
