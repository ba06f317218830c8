from datetime import timedelta

import pytest
import sqlalchemy as sa

from medloop.errors import InputError, Refused
from medloop.store import accounts, audit

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def ada(store):
    return accounts.add(store, "ada", "admin", PASSWORD, "setup")


def stored(store):
    with store.read() as connection:
        tables = ("accounts", "secrets", "attempts", "audit")
        return " ".join(str(row) for name in tables for row in connection.execute(sa.text(f"SELECT * FROM {name}")))


def test_log_in_and_out(store, ada):
    assert accounts.log_in(store, " ada", PASSWORD) == ada
    secret = accounts.open_session(store, ada.id)
    assert accounts.by_session(store, secret) == ada
    assert accounts.by_token(store, secret) is None
    accounts.close_session(store, secret)
    assert accounts.by_session(store, secret) is None


def test_secrets_are_nowhere_in_the_database(store, ada):
    secrets = [
        accounts.open_session(store, ada.id),
        accounts.add_token(store, ada.id, "x", "ada"),
        accounts.invite(store, "reader", "ada"),
    ]
    said = stored(store)
    assert "$argon2id$" in said
    assert not [each for each in [PASSWORD, *secrets] if each in said]


def test_wrong_names_and_passwords_look_alike(store, ada):
    for name, password in (("ada", "wrong password"), ("bob", PASSWORD), ("ada\0", PASSWORD), ("ada", "x" * 10**6)):
        with pytest.raises(Refused) as refused:
            accounts.log_in(store, name, password)
        assert refused.value.code == "wrong-login"


def test_guessing_is_slowed_by_name_and_by_address(store, ada, monkeypatch):
    for _ in range(accounts.TRIES_NAME):
        with pytest.raises(Refused, match="wrong"):
            accounts.log_in(store, "ada", "wrong password", "10.0.0.1")
    with pytest.raises(Refused, match="too many"):
        accounts.log_in(store, "ADA", PASSWORD, "10.0.0.2")
    monkeypatch.setattr(accounts, "TRIES_ADDRESS", accounts.TRIES_NAME)
    with pytest.raises(Refused, match="too many"):
        accounts.log_in(store, "bob", PASSWORD, "10.0.0.1")
    monkeypatch.setattr(accounts, "WINDOW", timedelta(0))
    assert accounts.log_in(store, "ada", PASSWORD, "10.0.0.1") == ada


def test_sessions_end_by_themselves_and_with_the_account(store, ada):
    bob = accounts.add(store, "bob", "reader", PASSWORD, "ada")
    assert accounts.by_session(store, accounts.open_session(store, bob.id, timedelta(0))) is None
    session, token = accounts.open_session(store, bob.id), accounts.add_token(store, bob.id, "x", "bob")
    accounts.change(store, bob.id, "ada", active=False)
    assert accounts.by_session(store, session) is None
    assert accounts.by_token(store, token) is None
    with pytest.raises(Refused):
        accounts.log_in(store, "bob", PASSWORD)


def test_a_new_password_ends_sessions(store, ada):
    session = accounts.open_session(store, ada.id)
    accounts.set_password(store, ada.id, "another long one", "ada")
    assert accounts.by_session(store, session) is None
    assert accounts.log_in(store, "ada", "another long one").id == ada.id


def test_tokens_are_listed_and_dropped_by_their_owner(store, ada):
    bob = accounts.add(store, "bob", "reader", PASSWORD, "ada")
    token = accounts.add_token(store, ada.id, "script", "ada")
    (row,) = accounts.tokens(store, ada.id)
    accounts.drop_token(store, row.id, bob.id, "bob")
    assert accounts.by_token(store, token) == ada
    accounts.drop_token(store, row.id, ada.id, "ada")
    assert accounts.by_token(store, token) is None


def test_the_first_link_makes_one_admin_once(store):
    old, link = accounts.first_link(store), accounts.first_link(store)
    assert accounts.link_role(store, old) is None
    assert accounts.link_role(store, link) == "admin"
    assert accounts.redeem(store, link, "ada", PASSWORD).role == "admin"
    with pytest.raises(Refused, match="used up"):
        accounts.redeem(store, link, "eve", PASSWORD)
    assert accounts.first_link(store) is None


def test_an_invitation_gives_its_role_and_survives_a_bad_password(store, ada):
    link = accounts.invite(store, "adjudicator", "ada")
    with pytest.raises(InputError):
        accounts.redeem(store, link, "bob", "short")
    with pytest.raises(InputError, match="already"):
        accounts.redeem(store, link, "Ada", PASSWORD)
    assert accounts.redeem(store, link, "bob", PASSWORD).role == "adjudicator"


def test_bad_accounts_are_refused(store, ada):
    bad = [("", "reader", PASSWORD), ("a\nb", "reader", PASSWORD), ("bob", "king", PASSWORD), ("bob", "reader", "short")]
    for name, role, password in [*bad, ("ADA", "reader", PASSWORD)]:
        with pytest.raises(InputError):
            accounts.add(store, name, role, password, "ada")
    assert [each.name for each in accounts.every(store)] == ["ada"]


@pytest.mark.parametrize("change", [{"role": "reader"}, {"active": False}])
def test_the_last_admin_stays(store, ada, change):
    with pytest.raises(InputError, match="cannot become"):
        accounts.change(store, ada.id, "ada", **change)
    other = accounts.add(store, "bob", "admin", PASSWORD, "ada")
    accounts.change(store, ada.id, "bob", **change)
    assert accounts.find(store, "bob") == other
    assert audit.verify(store) == []


def test_preferences_add_up(store, ada):
    accounts.set_preferences(store, ada.id, {"zoom": 2})
    accounts.set_preferences(store, ada.id, {"window": [40, 400]})
    assert accounts.preferences(store, ada.id) == {"zoom": 2, "window": [40, 400]}
