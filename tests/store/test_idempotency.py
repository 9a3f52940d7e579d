"""Creations that happen once, wherever a process dies, on both databases."""

import os
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.scene import NOW
from wicket.core.errors import Conflict, Limited
from wicket.store import idempotency, tables
from wicket.store.db import Database
from wicket.store.idempotency import Answered, Claim

KEY = "a-key-of-the-client"


def _noted(tx: sa.Connection) -> str:
    """Something that is created."""
    account_id = os.urandom(4).hex()
    tx.execute(
        sa.insert(tables.accounts).values(id=account_id, email=f"{account_id}@example.com", created_at=1)
    )
    return account_id


async def claim(database: Database, at: datetime = NOW, *, account: str = "ada") -> Claim | Answered:
    return await database.change(
        idempotency.claim, account_id=account, key=KEY, digests=[b"request"], now=at, agents=()
    )


async def carry_out(database: Database, claimed: Claim | Answered) -> Any:
    assert isinstance(claimed, Claim)

    def create(tx: sa.Connection) -> str:
        return idempotency.carry_out(claimed, 201, tx, _noted)

    return await database.change(create, agents=())


async def test_a_claim_whose_holder_died_is_taken_over_and_what_the_dead_does_late_is_undone(
    database: Database,
) -> None:
    first = await claim(database)
    with pytest.raises(Conflict) as refused:
        await claim(database, NOW + timedelta(seconds=59))
    assert refused.value.code == "idempotency_key_in_use"
    second = await claim(database, NOW + timedelta(seconds=60))
    with pytest.raises(Conflict):
        await carry_out(database, first)
    made = await carry_out(database, second)
    assert made in await database.read(_accounts)
    assert len(await database.read(_accounts)) == 1


async def test_who_died_between_creation_and_answer_has_created_once(database: Database) -> None:
    first = await claim(database)
    await carry_out(database, first)
    assert isinstance(first, Claim)
    await database.change(idempotency.release, claim=first, agents=())
    for later in (timedelta(0), timedelta(minutes=5), timedelta(hours=24)):
        with pytest.raises(Conflict) as refused:
            await claim(database, NOW + later)
        assert refused.value.code == "idempotency_answer_lost"


async def test_an_account_has_a_bound_of_keys(database: Database) -> None:
    def fill(tx: sa.Connection) -> None:
        rows = [
            {"account_id": "ada", "key": f"k{n}", "request": b"", "created_at": int(NOW.timestamp() * 1e6)}
            for n in range(1_000)
        ]
        tx.execute(sa.insert(tables.idempotency_keys), rows)

    await database.change(fill, agents=())
    with pytest.raises(Limited) as refused:
        await claim(database, NOW + timedelta(hours=1))
    assert refused.value.retry_after_s == 23 * 3600
    assert isinstance(await claim(database, account="bob"), Claim)


def _accounts(tx: sa.Connection) -> list[str]:
    return list(tx.execute(sa.select(tables.accounts.c.id)).scalars())
