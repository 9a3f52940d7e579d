"""Creations that may be asked for twice: who repeats a request with its key gets the first answer, for a day.

    claimed -> carried out, in the transaction of the creation itself -> answered
            `-> released, where nothing came of it

So a creation happens once, wherever a process dies. A claim that nobody has carried out for a minute may be taken
over: what its first holder does after that is undone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from wicket.core.errors import Conflict, Limited
from wicket.store import tables
from wicket.store.instants import from_us, to_us

KEPT_FOR: Final = timedelta(hours=24)
CLAIM_LIFE: Final = timedelta(minutes=1)
KEYS_MAX: Final = 1_000
"""Of one account within `KEPT_FOR`."""
PRUNED_MAX: Final = 500

R = TypeVar("R")
_K = tables.idempotency_keys.c


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out what was asked for under a key."""

    account_id: str
    key: str
    at_us: int
    """Tells one claim of a key from a later one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered the first time."""

    status: int
    sealed: bytes = field(repr=False)


def claim(
    tx: sa.Connection, *, account_id: str, key: str, digests: Sequence[bytes], now: datetime
) -> Claim | Answered:
    """Claim a key for a request, or find its answer; `digests` are the request's, any of which is the same.

    Raises Conflict `idempotency_key_reused`, `idempotency_key_in_use` or `idempotency_answer_lost`, or Limited.
    """
    _prune(tx, before=now - KEPT_FOR)
    mine = Claim(account_id, key, to_us(now))
    row = tx.execute(sa.select(tables.idempotency_keys).where(_is(account_id, key))).one_or_none()
    if row is not None and row.created_at < to_us(now - KEPT_FOR):
        tx.execute(sa.delete(tables.idempotency_keys).where(_is(account_id, key)))
        row = None
    if row is None:
        _check_room(tx, account_id=account_id, now=now)
        _insert(tx, mine, digests[0])
        return mine
    if bytes(row.request) not in digests:
        raise Conflict(
            "this `Idempotency-Key` was sent with another request: make a new key for each",
            code="idempotency_key_reused",
            status=422,
        )
    if row.status is None:
        return _take_over(tx, mine, row)
    if row.answer is None:
        raise Conflict(
            "the request with this key was carried out, and its answer is lost: look at the list of what there is",
            code="idempotency_answer_lost",
        )
    return Answered(row.status, bytes(row.answer))


def carry_out(
    claim: Claim, status: int, tx: sa.Connection, fn: Callable[..., R], /, *args: object, **kwargs: object
) -> R:
    """Run a store function in the transaction that notes that it was run; raises Conflict when the claim is lost."""
    noted = tx.execute(_of(claim, _K.status.is_(None)).values(status=status))
    if noted.rowcount == 0:
        raise _in_use()
    return fn(tx, *args, **kwargs)


def keep_answer(tx: sa.Connection, *, claim: Claim, status: int, sealed: bytes) -> None:
    """Store what was answered."""
    tx.execute(_of(claim).values(status=status, answer=sealed))


def release(tx: sa.Connection, *, claim: Claim) -> None:
    """Give a claim back of which nothing came; what was carried out stays noted."""
    at = sa.and_(_is(claim.account_id, claim.key), _K.created_at == claim.at_us, _K.status.is_(None))
    tx.execute(sa.delete(tables.idempotency_keys).where(at))


def _take_over(tx: sa.Connection, mine: Claim, row: sa.Row[Any]) -> Claim:
    theirs = Claim(mine.account_id, mine.key, row.created_at)
    is_due = row.created_at <= mine.at_us - CLAIM_LIFE // timedelta(microseconds=1)
    if is_due and tx.execute(_of(theirs, _K.status.is_(None)).values(created_at=mine.at_us)).rowcount > 0:
        return mine
    raise _in_use()


def _insert(tx: sa.Connection, claim: Claim, digest: bytes) -> None:
    try:
        with tx.begin_nested():
            tx.execute(
                sa.insert(tables.idempotency_keys).values(
                    account_id=claim.account_id, key=claim.key, request=digest, created_at=claim.at_us
                )
            )
    except exc.IntegrityError as error:  # the same request, at the same time
        raise _in_use() from error


def _check_room(tx: sa.Connection, *, account_id: str, now: datetime) -> None:
    found = sa.select(sa.func.count(), sa.func.min(_K.created_at)).where(_K.account_id == account_id)
    count, oldest = tx.execute(found).one()
    if count >= KEYS_MAX:
        wait = from_us(oldest) + KEPT_FOR - now
        raise Limited(
            f"an account has at most {KEYS_MAX} idempotency keys a day: send this request without one",
            retry_after_s=max(1, int(wait.total_seconds())),
        )


def _prune(tx: sa.Connection, *, before: datetime) -> None:
    old = (
        sa.select(_K.account_id, _K.key)
        .where(_K.created_at < to_us(before))
        .order_by(_K.created_at)
        .limit(PRUNED_MAX)
        .with_for_update(skip_locked=True)
    )
    names = [tuple(row) for row in tx.execute(old)]
    if names:
        tx.execute(sa.delete(tables.idempotency_keys).where(sa.tuple_(_K.account_id, _K.key).in_(names)))


def _is(account_id: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(_K.account_id == account_id, _K.key == key)


def _of(claim: Claim, *more: sa.ColumnElement[bool]) -> sa.Update:
    at = sa.and_(_is(claim.account_id, claim.key), _K.created_at == claim.at_us, *more)
    return sa.update(tables.idempotency_keys).where(at)


def _in_use() -> Conflict:
    return Conflict(
        "a request with this `Idempotency-Key` is under way: wait a moment and send it again",
        code="idempotency_key_in_use",
    )
