"""Entity tags: what a policy looked like to whoever wants to change exactly that."""

from collections.abc import Collection

import sqlalchemy as sa

from wicket.core.errors import Conflict
from wicket.store.policies.reads import StoredPolicy, get_policy


def etag_of(policy: StoredPolicy) -> str:
    """The version, and whether it is enabled, which is no part of a version."""
    return f"{policy.version}" if policy.document.enabled else f"{policy.version}off"


def check_policy(tx: sa.Connection, *, agent_id: str, policy_id: str, etags: Collection[str] | None) -> None:
    """Raise Conflict `version_conflict` unless the policy has one of `etags`, or NotFound; None takes any."""
    if etags is None:
        return
    found = get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    if etag_of(found) not in etags:
        raise Conflict(
            f"the policy is at version {found.version} by now, or was toggled: read it again and repeat the change",
            code="version_conflict",
            status=412,
            version=found.version,
        )
