"""Agents, and what belongs to each: services, credentials, tools, policies, entities, sessions."""

import sqlalchemy as sa

from wicket.store.tables.base import METADATA, Id, Instant, JsonText

agents = sa.Table(
    "agents",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("owner_id", Id, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("name_folded", sa.Text, nullable=False),  # str.casefold() of the name
    sa.Column("trust_mode", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("tags", JsonText, nullable=False),  # ["a", "b"]
    # {"rateBurst"?, "ratePerSecond"?, "denialShape"?, "timeZone"?}
    sa.Column("settings", JsonText, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("deleted_at", Instant),
    sa.UniqueConstraint("owner_id", "name_folded"),  # a deleted agent's folded name gets its id appended
)

agent_services = sa.Table(
    "agent_services",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    # When its baseline policy was seeded; never again, even after deletion.
    sa.Column("baseline_at", Instant),
)

connectors = sa.Table(
    "connectors",  # custom ones; the sixteen are data in the package
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False, index=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("auth", sa.Text, nullable=False),  # AuthType
    sa.Column("auth_header", sa.Text, nullable=False),
    sa.Column("per_member", sa.Boolean, nullable=False),
    sa.Column("sealed_credential", sa.LargeBinary),
    sa.Column("tier_from_annotations", sa.Boolean, nullable=False),
    sa.Column("tools", JsonText, nullable=False),  # definitions as first fetched: [{"name", "tier", "hash"}]
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("deleted_at", Instant),
)

connections = sa.Table(
    "connections",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("member_id", Id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("id", Id, nullable=False, unique=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("key_id", Id),  # the member key it is sealed under; NULL: the server's
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
)

tool_pins = sa.Table(
    "tool_pins",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("tool", sa.Text, primary_key=True),
    sa.Column("tier", sa.Text),  # NULL: not reviewed and in no table
    sa.Column("proposed_tier", sa.Text),
    sa.Column("held", sa.Boolean, nullable=False),
    sa.Column("accepted", JsonText, nullable=False),  # sorted list of definition hashes
    sa.Column("definition", JsonText, nullable=False),  # last definition seen
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("reviewed_at", Instant),
)

tool_changes = sa.Table(
    "tool_changes",  # a member's upstream sends a definition that nobody has accepted
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("tool", sa.Text, primary_key=True),
    sa.Column("member_id", Id, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("definition", JsonText, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
)

policies = sa.Table(
    "policies",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # the current one
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("member_id", Id),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("deleted_at", Instant),
    sa.UniqueConstraint("agent_id", "key"),
    sa.UniqueConstraint("id"),
)

policy_versions = sa.Table(
    "policy_versions",  # immutable
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("policy_id", Id, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    # Canonical render of the structured policy, without `enabled`.
    sa.Column("document", JsonText, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("saved_at", Instant, nullable=False),
    sa.Column("saved_by", Id),
    sa.Column("note", sa.Text),
)

entities = sa.Table(
    "entities",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("attributes", JsonText, nullable=False),
    sa.Column("parents", JsonText, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
)

tool_sessions = sa.Table(
    "tool_sessions",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),  # ts_ + 24 hex
    sa.Column("slot", sa.Text, nullable=False),  # (key, external session id), digested
    sa.Column("member_id", Id, nullable=False),
    sa.Column("key_id", Id, nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("client_name", sa.Text, nullable=False),
    sa.Column("client_version", sa.Text, nullable=False),
    sa.Column("facts", JsonText, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_activity_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("ended_reason", sa.Text),
    sa.Index(
        "uq_tool_sessions_live",
        "slot",
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index("ix_tool_sessions_agent_activity", "agent_id", "last_activity_at"),
)
