"""Member keys: one live key a member, made by the member alone, known here by a digest and a public half.

Making a key re-seals the member's connections under it in the same transaction. What an earlier member key
seals can be re-sealed only if that key is presented; who has lost it clears those connections instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.errors import Conflict, Forbidden, Invalid, NotFound
from wicket.core.keys import SealBroken, ServerKeys, is_key, key_pair, open_sealed, private_key, seal
from wicket.core.model import JsonObject, MemberStatus
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.connections import SealedConnection, discard_connections, list_sealed, replace_sealed
from wicket.store.instants import from_us, to_us

SUFFIX_LENGTH = 4


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key; the key itself is nowhere."""

    id: str
    agent_id: str
    member_id: str
    suffix: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyUse:
    """That a key was used, and when."""

    agent_id: str
    key_id: str
    at_us: int


def put_key(
    tx: sa.Connection,
    *,
    agent_id: str,
    member_id: str,
    key: str,
    current_key: str | None,
    server: ServerKeys,
    now: datetime,
) -> KeyRecord:
    """Make `key` the member's one live key, in place of any other, and re-seal the member's connections.

    Raises NotFound, Forbidden `member_not_approved`, or Conflict `current_key_required` while connections are
    sealed under another member key than `current_key`.
    """
    if not is_key(key):
        raise Invalid("a member key is 32 characters of base64; let it be made", field="key")
    account_id, status = _member(tx, agent_id=agent_id, member_id=member_id)
    if status is not MemberStatus.APPROVED:
        raise Forbidden(
            f"the membership is {status}; a key can be made once the owner has approved it",
            code="member_not_approved",
        )
    opened = [
        (connection, _open(tx, connection, current_key=current_key, server=server))
        for connection in list_sealed(tx, agent_id=agent_id, member_id=member_id)
    ]
    replaced = _end_live_key(tx, agent_id=agent_id, member_id=member_id, now=now)
    key_id, public_key = str(uuid4()), key_pair(key)[1]
    tx.execute(
        sa.insert(tables.member_keys).values(
            agent_id=agent_id,
            id=key_id,
            member_id=member_id,
            digest=server.digest(key),
            public_key=public_key,
            suffix=key[-SUFFIX_LENGTH:],
            created_at=to_us(now),
        )
    )
    for connection, token in opened:
        sealed = seal(token, public_key, connection.binding_under(key_id))
        replace_sealed(tx, before=connection, sealed=sealed, key_id=key_id)
    body: JsonObject = {"memberId": member_id, "keyId": key_id, "replaced": replaced}
    kind = "key_created" if replaced is None else "key_rotated"
    record_change(tx, kind=kind, agent_id=agent_id, actor_id=account_id, body=body, now=now)
    return get_key(tx, agent_id=agent_id, key_id=key_id)


def revoke_key(
    tx: sa.Connection, *, agent_id: str, member_id: str, actor_id: str | None, now: datetime
) -> bool:
    """Revoke the member's live key; its digest stays, so that its calls are recognised and entered.

    Answers whether there was one. What it seals stays sealed under it until it is presented or reset.
    """
    key_id = _end_live_key(tx, agent_id=agent_id, member_id=member_id, now=now)
    if key_id is None:
        return False
    body: JsonObject = {"memberId": member_id, "keyId": key_id}
    record_change(tx, kind="key_revoked", agent_id=agent_id, actor_id=actor_id, body=body, now=now)
    return True


def reset_lost(
    tx: sa.Connection, *, agent_id: str, member_id: str, server: ServerKeys, now: datetime
) -> tuple[str, ...]:
    """For a member who has lost the key: revoke it and forget what cannot be opened without it.

    Answers the services to connect again.
    """
    account_id, _ = _member(tx, agent_id=agent_id, member_id=member_id)
    revoke_key(tx, agent_id=agent_id, member_id=member_id, actor_id=account_id, now=now)
    return discard_connections(
        tx,
        agent_id=agent_id,
        member_id=member_id,
        actor_id=account_id,
        now=now,
        only=lambda connection: not _opens_for_server(connection, server),
    )


def note_uses(tx: sa.Connection, *, uses: Sequence[KeyUse]) -> None:
    """Store when keys were last used; a key that is being changed right now is passed over.

    No rule: it moves no revision and takes no agent's lock, so it must not wait for whoever has one.
    """
    wanted = sa.and_(
        _keys.agent_id.in_({use.agent_id for use in uses}), _keys.id.in_([use.key_id for use in uses])
    )
    free = set(tx.execute(sa.select(_keys.id).where(wanted).with_for_update(skip_locked=True)).scalars())
    rows = [
        {"of_agent": use.agent_id, "of_key": use.key_id, "at": use.at_us}
        for use in uses
        if use.key_id in free
    ]
    if rows:
        tx.execute(_NOTE_USE, rows)


def find_live_key(tx: sa.Connection, *, agent_id: str, member_id: str) -> KeyRecord | None:
    """The one key that the member can use now."""
    row = tx.execute(_LIVE.where(_keys.agent_id == agent_id, _keys.member_id == member_id)).one_or_none()
    return None if row is None else _record_of(row)


def live_keys(tx: sa.Connection, *, agent_id: str, member_ids: tuple[str, ...]) -> dict[str, KeyRecord]:
    """Member id -> live key, for those of a page of members who have one."""
    rows = tx.execute(_LIVE.where(_keys.agent_id == agent_id, _keys.member_id.in_(member_ids)))
    return {row.member_id: _record_of(row) for row in rows}


def get_key(tx: sa.Connection, *, agent_id: str, key_id: str) -> KeyRecord:
    """A key's record, live or not."""
    row = tx.execute(
        sa.select(tables.member_keys).where(_keys.agent_id == agent_id, _keys.id == key_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"no key `{key_id}` on this agent")
    return _record_of(row)


def _member(tx: sa.Connection, *, agent_id: str, member_id: str) -> tuple[str, MemberStatus]:
    """The member's account and status."""
    members = tables.members.c
    row = tx.execute(
        sa.select(members.account_id, members.status).where(
            members.agent_id == agent_id, members.id == member_id
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"no member `{member_id}` on this agent; list its members")
    return row.account_id, MemberStatus(row.status)


def _open(
    tx: sa.Connection, connection: SealedConnection, *, current_key: str | None, server: ServerKeys
) -> bytes:
    if connection.key_id is not None and not _is_key_of(tx, connection, key=current_key, server=server):
        raise Conflict(
            "connected services are sealed under the current key; send it as `currentKey`, or reset it as lost",
            code="current_key_required",
        )
    try:
        if connection.key_id is None or current_key is None:
            return server.open_sealed(connection.sealed, connection.binding)
        return open_sealed(connection.sealed, private_key(current_key), connection.binding)
    except SealBroken as error:
        raise Conflict(
            f"the credential for `{connection.service}` does not open any more; disconnect it first",
            code="connection_broken",
            service=connection.service,
        ) from error


def _is_key_of(
    tx: sa.Connection, connection: SealedConnection, *, key: str | None, server: ServerKeys
) -> bool:
    if key is None or not is_key(key):
        return False
    digest = tx.execute(
        sa.select(_keys.digest).where(_keys.agent_id == connection.agent_id, _keys.id == connection.key_id)
    ).scalar_one()
    return bytes(digest) in server.digests(key)


def _opens_for_server(connection: SealedConnection, server: ServerKeys) -> bool:
    if connection.key_id is not None:
        return False
    try:
        server.open_sealed(connection.sealed, connection.binding)
    except SealBroken:
        return False
    return True


def _end_live_key(tx: sa.Connection, *, agent_id: str, member_id: str, now: datetime) -> str | None:
    """Revoke the live key, if any, and answer its id."""
    live = find_live_key(tx, agent_id=agent_id, member_id=member_id)
    if live is None:
        return None
    tx.execute(
        sa.update(tables.member_keys)
        .where(_keys.agent_id == agent_id, _keys.id == live.id)
        .values(revoked_at=to_us(now))
    )
    return live.id


_keys = tables.member_keys.c
_LIVE = sa.select(tables.member_keys).where(_keys.revoked_at.is_(None))
_NOTE_USE = (
    sa.update(tables.member_keys)
    .where(
        _keys.agent_id == sa.bindparam("of_agent"),
        _keys.id == sa.bindparam("of_key"),
        sa.or_(_keys.last_used_at.is_(None), _keys.last_used_at < sa.bindparam("at")),
    )
    .values(last_used_at=sa.bindparam("at"))
)


def _record_of(row: sa.Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        agent_id=row.agent_id,
        member_id=row.member_id,
        suffix=row.suffix,
        created_at=from_us(row.created_at),
        revoked_at=None if row.revoked_at is None else from_us(row.revoked_at),
        last_used_at=None if row.last_used_at is None else from_us(row.last_used_at),
    )
