"""`wicket members` and `wicket keys`, with no server running."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Ended, wicket
from tests.cli.conftest import Left
from wicket.store import accounts
from wicket.store import members as store
from wicket.store.db import open_database

BEN = "ben@example.com"


def members(left: Left, *arguments: str) -> Ended:
    return wicket("members", *arguments, "--data-dir", left.data_dir)


def keys(left: Left, *arguments: str) -> Ended:
    return wicket("keys", *arguments, "--data-dir", left.data_dir)


def items_of(ended: Ended) -> list[Any]:
    items = ended.json["items"]
    assert isinstance(items, list)
    return items


def test_members_are_listed_with_their_keys(left: Left) -> None:
    rows = members(left, "list", "helper").rows
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("owner@example.com", "owner", "approved"), (BEN, "member", "approved"),
    ]  # fmt: skip
    listed = items_of(members(left, "list", left.agent_id, "--json"))
    assert [item["id"] for item in listed] == [left.owner_member, left.ben]
    assert [row[3] for row in rows] == [f"...{item['key']['suffix']}" for item in listed]
    assert all(item["key"]["lastUsedAt"] for item in listed)
    assert items_of(members(left, "list", "helper", "--status", "pending", "--json")) == []


def test_the_key_of_a_member_is_revoked(left: Left) -> None:
    (listed,) = items_of(keys(left, "list", "helper", BEN, "--json"))
    assert len(items_of(keys(left, "list", "helper", "--json"))) == 2
    revoked = keys(left, "revoke", "helper", BEN, "--json")
    assert (revoked.code, revoked.json) == (0, listed)
    assert keys(left, "list", "helper", left.ben).rows == []
    assert keys(left, "revoke", "helper", BEN).code == 4
    assert wicket("audit", "verify", "--data-dir", left.data_dir).code == 0


def test_a_member_is_removed_invited_again_and_let_in(left: Left) -> None:
    assert members(left, "remove", "helper", BEN, "--json").json["status"] == "removed"
    assert wicket("can", BEN, "fake__echo", "--data-dir", left.data_dir).code == 4
    invited = members(left, "invite", "helper", BEN, "--public-url", "https://wicket.example", "--json")
    assert invited.code == 0
    assert str(invited.json["url"]).startswith(f"https://wicket.example/join#token={left.agent_id}.")
    assert members(left, "approve", "helper", BEN).code == 5
    plain = members(left, "invite", "helper", "new@example.com")
    assert plain.out.startswith("http://127.0.0.1:8420/join#token=")
    assert plain.out.strip() not in plain.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list", "nobody"), 4),
        (("approve", "helper", "nobody@example.com"), 4),
        (("approve", "helper", "no-such-id"), 4),
        (("approve", "helper", "@"), 2),
        (("remove", "helper", "owner@example.com"), 5),
        (("reject", "helper", BEN), 5),
        (("approve", "helper", BEN), 0),
        (("invite", "helper", BEN), 5),
        (("invite", "helper", "nobody"), 2),
        (("list", "helper", "--status", "gone"), 2),
    ],
)
def test_what_cannot_be_done_ends_with_its_code(left: Left, arguments: tuple[str, ...], code: int) -> None:
    assert members(left, *arguments).code == code


def test_a_command_without_a_data_directory_makes_none(left: Left) -> None:
    missing = left.data_dir.parent / "missing"
    for group, arguments in (
        ("members", ("list", "x")),
        ("members", ("invite", "x", "a@example.com")),
        ("keys", ("list", "x")),
    ):
        assert wicket(group, *arguments, "--data-dir", missing).code == 4
    assert not missing.exists()


def test_who_waits_is_let_in_or_turned_down(left: Left) -> None:
    for verb, status in (("approve", "approved"), ("reject", "rejected")):
        who = join(left.data_dir, left.agent_id, f"{status}@example.com")
        ended = members(left, verb, "helper", who, "--json")
        assert (ended.code, ended.json["status"]) == (0, status)


def join(data_dir: Path, agent_id: str, email: str) -> str:
    """Have somebody ask for membership; answers the member's id."""

    async def work() -> str:
        database = await open_database(sqlite_path=data_dir / "wicket.db")
        now = datetime.now(UTC)
        try:
            account = await database.change(accounts.get_or_create_account, email=email, now=now, agents=())
            member = await database.change(
                store.join, agent_id=agent_id, account_id=account.id, now=now, agents=[agent_id]
            )
            return member.id
        finally:
            await database.close()

    return asyncio.run(work())
