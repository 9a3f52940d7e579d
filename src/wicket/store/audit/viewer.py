"""Who may see which entries: owners those of their agents, members their own calls.

Membership is asked of the tables as they are now. An agent that was deleted keeps its owner, who keeps its
entries. To a member of a trusted agent, which policies it has is withheld: from the entries, and from filters
that would give it away.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from wicket.core.model import MemberStatus, TrustMode
from wicket.store import tables

LIVE = (MemberStatus.PENDING, MemberStatus.APPROVED)
IDS_MAX: Final = 1_000
"""Policies or members that one name may stand for."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one account may see."""

    owned: frozenset[str]
    """Ids of agents."""
    open_members: frozenset[str]
    """Own member ids on untrusted agents: with policy identities."""
    withheld_members: frozenset[str]
    """Own member ids on trusted agents of others: without."""
    sees_all: bool
    """Whether every agent there is belongs to the account."""

    def is_withheld(self, agent_id: str, member_id: str) -> bool:
        """Whether policy identities are to be left out of an entry."""
        return not self.sees_all and agent_id not in self.owned and member_id not in self.open_members

    @property
    def sees_nothing(self) -> bool:
        return not (self.sees_all or self.owned or self.open_members or self.withheld_members)

    def has_lost(self, before: "Viewer") -> bool:
        """Whether something may not be seen any more that might be before."""
        return not (
            self.owned >= before.owned
            and self.open_members >= before.open_members
            and self.withheld_members >= before.withheld_members
        )

    def may_see(self, agent_id: str, member_id: str) -> bool:
        """Whether an entry of theirs may be seen at all."""
        return not self.is_withheld(agent_id, member_id) or member_id in self.withheld_members

    @property
    def visible(self) -> sa.ColumnElement[bool]:
        """The condition on `audit` that an entry may be seen at all."""
        if self.sees_all:
            return sa.true()
        return sa.or_(self.open, _is_among(tables.audit.c.member_id, self.withheld_members))

    @property
    def open(self) -> sa.ColumnElement[bool]:
        """The condition on `audit` that an entry may be seen with its policies."""
        if self.sees_all:
            return sa.true()
        return sa.or_(
            _is_among(tables.audit.c.agent_id, self.owned),
            _is_among(tables.audit.c.member_id, self.open_members),
        )


def _is_among(column: sa.ColumnElement[str], ids: Collection[str]) -> sa.ColumnElement[bool]:
    """A check of entries that were found already, written so that no database goes looking for others by it."""
    return sa.func.coalesce(column, "").in_(sorted(ids))


HOST: Final = Viewer(frozenset(), frozenset(), frozenset(), sees_all=True)
"""Whoever reads the log on the host itself, where the database lies open."""


def viewer_of(tx: sa.Connection, *, account_id: str | None) -> Viewer:
    """What the account may see now; None is the host's operator."""
    if account_id is None:
        return HOST
    agents, members = tables.agents.c, tables.members.c
    owned = frozenset(tx.execute(sa.select(agents.id).where(agents.owner_id == account_id)).scalars())
    foreign = sa.select(agents.id).where(agents.owner_id != account_id).limit(1)
    own = tx.execute(
        sa.select(members.id, agents.trust_mode)
        .join(tables.agents, agents.id == members.agent_id)
        .where(members.account_id == account_id, members.status.in_(LIVE), agents.owner_id != account_id)
    ).all()
    return Viewer(
        owned=owned,
        open_members=frozenset(row.id for row in own if row.trust_mode != TrustMode.TRUSTED),
        withheld_members=frozenset(row.id for row in own if row.trust_mode == TrustMode.TRUSTED),
        sees_all=tx.execute(foreign).first() is None,
    )


def policy_ids(tx: sa.Connection, policy: str, viewer: Viewer) -> list[str]:
    """The policies with this id or key, of those that the viewer may know of."""
    policies = tables.policies.c
    found = sa.select(policies.id).where(sa.or_(policies.id == policy, policies.key == policy))
    if not viewer.sees_all:
        known = (
            policies.agent_id.in_(sorted(viewer.owned)),
            policies.member_id.in_(sorted(viewer.open_members)),
        )
        found = found.where(sa.or_(*known))
    return list(tx.execute(found.limit(IDS_MAX)).scalars())


def member_ids(tx: sa.Connection, member: str, viewer: Viewer) -> list[str]:
    """The member with this id, or the memberships of an e-mail address that the viewer may know of."""
    if "@" not in member:
        return [member]
    members, accounts = tables.members.c, tables.accounts.c
    found = (
        sa.select(members.id)
        .join(tables.accounts, accounts.id == members.account_id)
        .where(accounts.email == member)
    )
    if not viewer.sees_all:
        own = sorted(viewer.open_members | viewer.withheld_members)
        found = found.where(sa.or_(members.agent_id.in_(sorted(viewer.owned)), members.id.in_(own)))
    return list(tx.execute(found.limit(IDS_MAX)).scalars())
