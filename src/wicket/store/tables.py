"""Every table, once, for SQLite and PostgreSQL.

Portable types only: text, 64-bit integers, bytes. Identifiers are text UUIDs, instants integer microseconds
UTC (`_at`), structured values JSON text. Everything that belongs to an agent carries `agent_id` in its keys.
"""

import sqlalchemy as sa

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# Identifiers compare byte by byte on both databases: BINARY is SQLite's default, and PostgreSQL's text
# equality is exact under every deterministic collation.
Id = sa.Text
Instant = sa.BigInteger
JsonText = sa.Text

accounts = sa.Table(
    "accounts",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),  # lower case
    sa.Column("created_at", Instant, nullable=False),
)

api_tokens = sa.Table(
    "api_tokens",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("scopes", sa.Text, nullable=False),  # "read" or "read write"
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
)

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

members = sa.Table(
    "members",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False, index=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.UniqueConstraint("agent_id", "account_id"),
)

member_keys = sa.Table(
    "member_keys",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("member_id", Id, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),  # kept after revocation
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("suffix", sa.Text, nullable=False),  # last 4 characters, to tell keys apart
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
    sa.Index(
        "uq_member_keys_live",
        "agent_id",
        "member_id",
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    ),
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

names = sa.Table(
    "names",  # interned names of agents, tools and services in audit rows
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),  # agent, service, tool
    sa.Column("name", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "name"),
)

writers = sa.Table(
    "writers",  # one start of one process; each has its own chain
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),  # stopped, or found dead
)

# The three tables below are one log: each row is the (writer, seq)-th link of its writer's chain.
audit = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", Id, primary_key=True),  # UUID version 7 of the decision's instant
    sa.Column("writer", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("decided_at", Instant, nullable=False),
    sa.Column("agent_id", Id, nullable=False),
    sa.Column("agent_name", sa.Integer, nullable=False),  # names.id
    sa.Column("service", sa.Integer, nullable=False),  # names.id
    sa.Column("tool", sa.Integer, nullable=False),  # names.id
    sa.Column("member_id", Id, nullable=False),
    sa.Column("key_id", Id, nullable=False),
    sa.Column("session_id", sa.Text),
    sa.Column("denied", sa.Boolean, nullable=False),
    sa.Column("reason_code", sa.Text, nullable=False),
    sa.Column("caller_ip", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),  # Cedar text of the first
    sa.Column("reason", sa.Text, nullable=False),  # a sentence
    sa.Column("deny_message", sa.Text),
    sa.Column("body", JsonText, nullable=False),  # the rest of the entry: see store/audit/entry.py
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("writer", "seq"),
    *(
        sa.Index(f"ix_audit_{name}", name, "id")
        for name in (
            "agent_id",
            "agent_name",
            "service",
            "tool",
            "member_id",
            "session_id",
            "reason_code",
            "caller_ip",
        )
    ),
    *(
        sa.Index(
            "_".join(("ix_audit_denied", *names_)),
            *names_,
            "id",
            sqlite_where=sa.text("denied"),
            postgresql_where=sa.text("denied"),
        )
        for names_ in ((), ("agent_id",), ("service",), ("tool",), ("member_id",))
    ),
)

audit_policies = sa.Table(
    "audit_policies",  # which entries cite a policy
    METADATA,
    sa.Column("policy_id", Id, primary_key=True),
    sa.Column("entry_id", Id, primary_key=True),
)

outcomes = sa.Table(
    "outcomes",  # how an entry ended; a late outcome supersedes `interrupted`
    METADATA,
    sa.Column("writer", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("entry_id", Id, nullable=False, index=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    # {"durationMs"?, "upstreamMs"?, "upstreamStatus"?, "responseBytes"?, "count"?}
    sa.Column("body", JsonText, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

events = sa.Table(
    "events",  # writer starts and stops, gaps, changes made by people
    METADATA,
    sa.Column("writer", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("agent_id", Id, index=True),
    sa.Column("actor_id", Id),
    sa.Column("body", JsonText, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

change_chain = sa.Table(
    "change_chain",  # one row: the head of writer 0, the chain of changes, which every process appends to in turn
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
