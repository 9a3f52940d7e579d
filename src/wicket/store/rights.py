"""Who may do what to an agent: the table of roles, asked inside the transaction that does it.

stranger    knows of nothing: NotFound
pending     sees that the agent is there, and connects own services
member      the same, with a key; sees nobody else's membership, and of policies only own ones
owner       everything but other people's keys and credentials
"""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from wicket.core.errors import Forbidden, NotFound
from wicket.core.model import MemberStatus, Role, TrustMode
from wicket.store.agents import SeenAgent, get_agent_of
from wicket.store.members import MemberRecord, get_member, list_members
from wicket.store.page import Page
from wicket.store.policies import StoredPolicy, find_agent_of, get_policy

R = TypeVar("R")


def require_owner(tx: sa.Connection, *, agent_id: str, account_id: str) -> SeenAgent:
    """The agent, if the account owns it; raises NotFound to strangers and Forbidden to members."""
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    if seen.role is not Role.OWNER:
        raise Forbidden("only the agent's owner may do this: ask the owner", code="owner_only")
    return seen


def require_approved(tx: sa.Connection, *, agent_id: str, account_id: str) -> SeenAgent:
    """The agent, if the account's membership is approved; raises NotFound, or Forbidden while it is pending."""
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    if seen.member_status is not MemberStatus.APPROVED:
        raise Forbidden(
            "your membership waits for approval: the agent's owner can approve it", code="member_not_approved"
        )
    return seen


def require_visible_member(
    tx: sa.Connection, *, agent_id: str, member_id: str, account_id: str
) -> MemberRecord:
    """A membership that is the account's own, or on an agent that the account owns; else raises NotFound."""
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    member = get_member(tx, agent_id=agent_id, member_id=member_id)
    if seen.role is not Role.OWNER and member.account_id != account_id:
        raise NotFound(f"no member `{member_id}` on this agent; list its members")
    return member


def list_visible_members(
    tx: sa.Connection, *, agent_id: str, account_id: str, status: MemberStatus | None, limit: int, offset: int
) -> Page[MemberRecord]:
    """To the owner every membership of the agent, to others the own one."""
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    if seen.role is Role.OWNER:
        return list_members(tx, agent_id=agent_id, status=status, limit=limit, offset=offset)
    own = [get_member(tx, agent_id=agent_id, member_id=seen.member_id)]
    found = [member for member in own if status in (None, member.status)]
    return Page(found[offset : offset + limit], len(found))


def require_self(tx: sa.Connection, *, agent_id: str, member_id: str, account_id: str) -> MemberRecord:
    """The account's own membership; raises NotFound, or Forbidden to the owner who names somebody else's."""
    member = require_visible_member(tx, agent_id=agent_id, member_id=member_id, account_id=account_id)
    if member.account_id != account_id:
        raise Forbidden("only the member may do this: name your own membership", code="self_only")
    return member


def require_visible_policy(
    tx: sa.Connection, *, agent_id: str, policy_id: str, account_id: str
) -> StoredPolicy:
    """A policy that the account may read: as the owner, or as the member whose own it is."""
    binds = policies_seen_by(tx, agent_id=agent_id, account_id=account_id)
    policy = get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    if binds is not None and policy.document.member_id != binds:
        raise _no_policy(policy_id)
    return policy


def policies_seen_by(tx: sa.Connection, *, agent_id: str, account_id: str) -> str | None:
    """Whose policies the account may read: None is everybody's, else the id of the one member.

    Raises Forbidden to members of a trusted agent: which policies it has is the owner's to know.
    """
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    if seen.role is Role.OWNER:
        return None
    if seen.agent.trust_mode is TrustMode.TRUSTED:
        raise Forbidden("the policies of a trusted agent are its owner's: ask the owner", code="owner_only")
    return seen.member_id


def find_policy_agent(tx: sa.Connection, *, policy_id: str, account_id: str) -> str:
    """The agent of a policy that the account may read; raises the same NotFound for all others."""
    agent_id = find_agent_of(tx, policy_id=policy_id)
    if agent_id is None:
        raise _no_policy(policy_id)
    try:
        require_visible_policy(tx, agent_id=agent_id, policy_id=policy_id, account_id=account_id)
    except (NotFound, Forbidden) as hidden:
        raise _no_policy(policy_id) from hidden
    return agent_id


def as_owner(
    tx: sa.Connection, fn: Callable[..., R], /, *, agent_id: str, account_id: str, **kwargs: object
) -> R:
    """Run a store function on an agent that the account owns."""
    require_owner(tx, agent_id=agent_id, account_id=account_id)
    return fn(tx, agent_id=agent_id, **kwargs)


def as_self(
    tx: sa.Connection,
    fn: Callable[..., R],
    /,
    *,
    agent_id: str,
    member_id: str,
    account_id: str,
    **kwargs: object,
) -> R:
    """Run a store function on the account's own membership."""
    require_self(tx, agent_id=agent_id, member_id=member_id, account_id=account_id)
    return fn(tx, agent_id=agent_id, member_id=member_id, **kwargs)


def as_self_or_owner(
    tx: sa.Connection,
    fn: Callable[..., R],
    /,
    *,
    agent_id: str,
    member_id: str,
    account_id: str,
    **kwargs: object,
) -> R:
    """Run a store function on the account's own membership, or on any of an agent that the account owns."""
    require_visible_member(tx, agent_id=agent_id, member_id=member_id, account_id=account_id)
    return fn(tx, agent_id=agent_id, member_id=member_id, **kwargs)


def as_owner_of_member(
    tx: sa.Connection,
    fn: Callable[..., R],
    /,
    *,
    agent_id: str,
    member_id: str,
    account_id: str,
    **kwargs: object,
) -> R:
    """Run a store function on any membership of an agent that the account owns."""
    # In this order: to a member, other memberships do not exist.
    require_visible_member(tx, agent_id=agent_id, member_id=member_id, account_id=account_id)
    require_owner(tx, agent_id=agent_id, account_id=account_id)
    return fn(tx, agent_id=agent_id, member_id=member_id, **kwargs)


def _no_policy(policy_id: str) -> NotFound:
    return NotFound(f"there is no policy `{policy_id}`: list an agent's policies to find the id")
