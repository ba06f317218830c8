"""Accounts: who may do what. Of passwords argon2 hashes are kept; of sessions, tokens and links the SHA-256."""

from __future__ import annotations

import hashlib
import secrets as chance
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from medloop.errors import InputError, Refused
from medloop.store import audit
from medloop.store._rows import add as insert
from medloop.store._rows import made, one
from medloop.store.base import Store
from medloop.store.records import ROLES, Account, TokenRow, now
from medloop.store.tables import accounts, attempts, secrets

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(chance.token_urlsafe())
"""Checked where there is no such account, so that a wrong name takes as long as a wrong password."""
SESSION = timedelta(hours=12)
LINK = timedelta(days=2)
WINDOW = timedelta(minutes=15)
TRIES_NAME, TRIES_ADDRESS = 8, 40
"""Failed log-ins within the window after which a name, or an address, must wait."""
PASSWORD = (10, 256)
"""Shortest and longest password."""
_HOLDER = (
    sa.select(accounts)
    .join(secrets, secrets.c.account_id == accounts.c.id)
    .where(secrets.c.kind == sa.bindparam("what"), secrets.c.hash == sa.bindparam("digest"), accounts.c.active)
    .where(sa.or_(secrets.c.expires.is_(None), secrets.c.expires >= sa.bindparam("moment")))
)


def add(store: Store, name: str, role: str, password: str, actor: str) -> Account:
    """A new account. Raises `InputError` for a name that is taken or empty, an unknown role, a short password."""
    hashed = _hashed(name, role, password)
    with store.write() as connection:
        return _add(connection, name, role, hashed, actor)


def every(store: Store) -> list[Account]:
    """All accounts by name."""
    with store.read() as connection:
        return [made(Account, row) for row in connection.execute(sa.select(accounts).order_by(accounts.c.name)).mappings()]


def find(store: Store, name: str) -> Account | None:
    """The account of that name, or None."""
    with store.read() as connection:
        row = connection.execute(sa.select(accounts).where(accounts.c.name == _plain(name))).mappings().one_or_none()
        return None if row is None else made(Account, row)


def change(store: Store, number: int, actor: str, *, role: str | None = None, active: bool | None = None) -> Account:
    """Another role, or let somebody in or out. Who is let out loses their sessions and tokens. The last admin stays one."""
    with store.write() as connection:
        row = one(connection, accounts, number, "account")
        values = {name: value for name, value in (("role", role), ("active", active)) if value is not None}
        after = dict(row) | values
        wanted = sa.select(sa.func.count()).where(accounts.c.role == "admin", accounts.c.active, accounts.c.id != number)
        lonely = not connection.scalar(wanted)
        if after["role"] not in ROLES or (row["role"] == "admin" and lonely and not (after["role"] == "admin" and after["active"])):
            raise InputError(
                "bad-role",
                got=f"'{row['name']}' cannot become {after['role']}{'' if after['active'] else ', inactive'}.",
                allowed=f"{', '.join(ROLES)}; at least one active admin.",
                fix="Make somebody else admin first.",
            )
        if values:
            connection.execute(sa.update(accounts).where(accounts.c.id == number).values(**values))
            audit.append(connection, actor, "account.change", f"account:{number}", values)
        if active is False:
            connection.execute(sa.delete(secrets).where(secrets.c.account_id == number))
        return made(Account, after)


def set_password(store: Store, number: int, password: str, actor: str) -> None:
    """Another password; every session of the account ends."""
    hashed = _hashed("x", "reader", password)
    with store.write() as connection:
        one(connection, accounts, number, "account")
        connection.execute(sa.update(accounts).where(accounts.c.id == number).values(password=hashed))
        connection.execute(sa.delete(secrets).where(secrets.c.account_id == number, secrets.c.kind == "session"))
        audit.append(connection, actor, "account.password", f"account:{number}", {})


def log_in(store: Store, name: str, password: str, address: str = "") -> Account:
    """The account, if name and password are right. Raises `Refused`: ``wrong-login``, or ``too-many-tries`` for a while."""
    who = [_digest(f"name {_plain(name).casefold()}")] + ([_digest(f"address {address}")] if address else [])
    with store.read() as connection:
        recent = [_recent(connection, each) for each in who]
        row = connection.execute(sa.select(accounts).where(accounts.c.name == _plain(name))).mappings().one_or_none()
    if any(count >= limit for count, limit in zip(recent, (TRIES_NAME, TRIES_ADDRESS), strict=False)):
        raise Refused(
            "too-many-tries",
            got="There were too many failed log-ins.",
            allowed=f"{TRIES_NAME} in {WINDOW.seconds // 60} minutes.",
            fix=f"Wait {WINDOW.seconds // 60} minutes and try again.",
        )
    right = _right(row["password"] if row else _NOBODY, password[: PASSWORD[1] + 1])
    with store.write() as connection:
        if row is None or not right or not row["active"]:
            for each in who:
                connection.execute(sa.insert(attempts).values(who=each, time=now()))
            connection.execute(sa.delete(attempts).where(attempts.c.time < now() - WINDOW))
            audit.append(connection, "nobody", "log-in.failed", f"account:{row['id'] if row else 0}", {})
            raise_later = True
        else:
            connection.execute(sa.delete(attempts).where(attempts.c.who == who[0]))
            audit.append(connection, row["name"], "log-in", f"account:{row['id']}", {})
            raise_later = False
    if raise_later or row is None:
        raise Refused(
            "wrong-login", got="Name or password is wrong.", allowed="The name and password of an active account.", fix="Try again."
        )
    return made(Account, row)


def open_session(store: Store, account_id: int, lasts: timedelta = SESSION) -> str:
    """A new session; returns the secret for its cookie, which is stored nowhere."""
    with store.write() as connection:
        connection.execute(sa.delete(secrets).where(secrets.c.kind == "session", secrets.c.expires < now()))
        return _secret(connection, "session", account_id, lasts)


def by_session(store: Store, secret: str) -> Account | None:
    """Whose session this is; None where it ended or never was."""
    return _holder(store, "session", secret)


def close_session(store: Store, secret: str) -> None:
    """Log out."""
    with store.write() as connection:
        connection.execute(sa.delete(secrets).where(secrets.c.kind == "session", secrets.c.hash == _digest(secret)))


def add_token(store: Store, account_id: int, label: str, actor: str, lasts: timedelta | None = None) -> str:
    """A new API token; returns it, this once."""
    with store.write() as connection:
        one(connection, accounts, account_id, "account")
        audit.append(connection, actor, "token.add", f"account:{account_id}", {"label": label})
        return _secret(connection, "token", account_id, lasts, label)


def by_token(store: Store, token: str) -> Account | None:
    """Whose API token this is; None where it ended or never was."""
    return _holder(store, "token", token)


def tokens(store: Store, account_id: int) -> list[TokenRow]:
    """The API tokens of an account."""
    wanted = sa.select(secrets).where(secrets.c.kind == "token", secrets.c.account_id == account_id).order_by(secrets.c.id)
    with store.read() as connection:
        return [made(TokenRow, row) for row in connection.execute(wanted).mappings()]


def drop_token(store: Store, token_id: int, account_id: int, actor: str) -> None:
    """End an API token of this account."""
    with store.write() as connection:
        mine = (secrets.c.kind == "token", secrets.c.id == token_id, secrets.c.account_id == account_id)
        if connection.execute(sa.delete(secrets).where(*mine)).rowcount:
            audit.append(connection, actor, "token.drop", f"account:{account_id}", {"token": token_id})


def first_link(store: Store) -> str | None:
    """The secret of a one-time link that makes the first admin; None once there is one. A newer link ends the older."""
    with store.write() as connection:
        if connection.scalar(sa.select(accounts.c.id).where(accounts.c.role == "admin", accounts.c.active).limit(1)) is not None:
            return None
        connection.execute(sa.delete(secrets).where(secrets.c.kind == "link", secrets.c.label == "admin"))
        return _secret(connection, "link", None, LINK, "admin")


def invite(store: Store, role: str, actor: str) -> str:
    """The secret of a one-time link with which somebody makes an account of this role."""
    if role not in ROLES:
        raise _bad_account(f"There is no role '{role}'.")
    with store.write() as connection:
        audit.append(connection, actor, "account.invite", "account:0", {"role": role})
        return _secret(connection, "link", None, LINK, role)


def link_role(store: Store, secret: str) -> str | None:
    """The role that a one-time link gives; None where it is used up, too old or never was."""
    with store.read() as connection:
        row = _live(connection, "link", secret)
        return None if row is None else str(row["label"])


def redeem(store: Store, secret: str, name: str, password: str) -> Account:
    """Make the account that a one-time link allows, and use the link up. Raises `Refused` for a link that is none."""
    hashed = _hashed(name, "reader", password)
    with store.write() as connection:
        row = _live(connection, "link", secret)
        if row is None:
            raise Refused(
                "used-link", got="This link is used up or too old.", allowed="A link that works once.", fix="Ask for a new one."
            )
        connection.execute(sa.delete(secrets).where(secrets.c.id == row["id"]))
        return _add(connection, name, row["label"], hashed, name)


def preferences(store: Store, account_id: int) -> dict[str, Any]:
    """What a reader's pages remember: window, zoom, layout, language."""
    with store.read() as connection:
        return dict(one(connection, accounts, account_id, "account")["preferences"])


def set_preferences(store: Store, account_id: int, values: dict[str, Any]) -> None:
    """Remember these as well."""
    with store.write() as connection:
        known = one(connection, accounts, account_id, "account")["preferences"]
        connection.execute(sa.update(accounts).where(accounts.c.id == account_id).values(preferences={**known, **values}))


def _add(connection: sa.Connection, name: str, role: str, hashed: str, actor: str) -> Account:
    if connection.scalar(sa.select(accounts.c.id).where(sa.func.lower(accounts.c.name) == name.strip().lower())) is not None:
        raise _bad_account(f"There is an account '{name}' already.")
    new = Account(name=name.strip(), role=role)
    values = {"name": new.name, "role": role, "active": True, "created": new.created, "password": hashed, "preferences": {}}
    row = insert(connection, accounts, values)
    audit.append(connection, actor.strip(), "account.add", f"account:{row['id']}", {"name": new.name, "role": role})
    return made(Account, row)


def _hashed(name: str, role: str, password: str) -> str:
    low, high = PASSWORD
    if not 1 <= len(name.strip()) <= 64 or not name.isprintable() or role not in ROLES or not low <= len(password) <= high:
        raise _bad_account("The name, role or password will not do.")
    return _HASHER.hash(password)


def _bad_account(got: str) -> InputError:
    low, high = PASSWORD
    allowed = f"A new name of 1 to 64 letters, a password of {low} to {high}, and one of the roles {', '.join(ROLES)}."
    return InputError("bad-account", got=got, allowed=allowed, fix="Choose others.")


def _right(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _recent(connection: sa.Connection, who: str) -> int:
    wanted = sa.select(sa.func.count()).where(attempts.c.who == who, attempts.c.time > now() - WINDOW)
    return int(connection.scalar(wanted) or 0)


def _secret(connection: sa.Connection, kind: str, account_id: int | None, lasts: timedelta | None, label: str = "") -> str:
    secret = chance.token_urlsafe(32)
    values = {
        "kind": kind,
        "hash": _digest(secret),
        "account_id": account_id,
        "label": label,
        "created": now(),
        "expires": None if lasts is None else now() + lasts,
    }
    connection.execute(sa.insert(secrets).values(**values))
    return secret


def _live(connection: sa.Connection, kind: str, secret: str) -> Any:
    wanted = sa.select(secrets).where(secrets.c.kind == kind, secrets.c.hash == _digest(secret))
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None or (row["expires"] is not None and row["expires"] < now()) else row


def _holder(store: Store, kind: str, secret: str) -> Account | None:
    with store.read() as connection:
        row = connection.execute(_HOLDER, {"what": kind, "digest": _digest(secret), "moment": now()}).mappings().one_or_none()
        return None if row is None else made(Account, row)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _plain(name: str) -> str:
    return name.strip().replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
