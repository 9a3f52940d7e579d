"""Every table, once, for SQLite and PostgreSQL.

Identifiers are text UUIDs, instants integer microseconds UTC (`_at`), structured values JSON text. Everything that
belongs to an agent carries `agent_id` in its keys.
"""

from wicket.store.tables.agents import (
    agent_services,
    agents,
    connections,
    connectors,
    entities,
    policies,
    policy_versions,
    tool_changes,
    tool_pins,
    tool_sessions,
)
from wicket.store.tables.base import METADATA
from wicket.store.tables.log import (
    audit,
    audit_policies,
    audit_rollups,
    change_chain,
    checkpoints,
    events,
    names,
    outcomes,
    rollup_state,
    writers,
)
from wicket.store.tables.people import (
    accounts,
    api_tokens,
    backup_codes,
    dashboard_sessions,
    idempotency_keys,
    invites,
    member_keys,
    members,
    sign_in_codes,
    sign_in_links,
)

__all__ = [
    "METADATA",
    "accounts",
    "agent_services",
    "agents",
    "api_tokens",
    "audit",
    "audit_policies",
    "audit_rollups",
    "backup_codes",
    "change_chain",
    "checkpoints",
    "connections",
    "connectors",
    "dashboard_sessions",
    "entities",
    "events",
    "idempotency_keys",
    "invites",
    "member_keys",
    "members",
    "names",
    "outcomes",
    "policies",
    "policy_versions",
    "rollup_state",
    "sign_in_codes",
    "sign_in_links",
    "tool_changes",
    "tool_pins",
    "tool_sessions",
    "writers",
]
