"""The log: entries, how they ended, events, and what is said about it."""

import sqlalchemy as sa

from wicket.store.tables.base import METADATA, Id, Instant, JsonText

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

# The three tables below are one log: each row is the (writer, seq)-th link of its writer's chain. What belongs to an
# entry is partitioned by its id on PostgreSQL, which is by the month of the decision: see `store/audit/partitions.py`.
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
    sa.Index("ix_audit_writer", "writer", "seq"),
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
    postgresql_partition_by="RANGE (id)",
)

audit_policies = sa.Table(
    "audit_policies",  # which entries cite a policy
    METADATA,
    sa.Column("policy_id", Id, primary_key=True),
    sa.Column("entry_id", Id, primary_key=True),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (entry_id)",
)

outcomes = sa.Table(
    "outcomes",  # how an entry ended; a late outcome supersedes `interrupted`
    METADATA,
    sa.Column("writer", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("entry_id", Id, primary_key=True, index=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    # {"durationMs"?, "upstreamMs"?, "upstreamStatus"?, "responseBytes"?, "count"?}
    sa.Column("body", JsonText, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (entry_id)",
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

checkpoints = sa.Table(
    "checkpoints",  # signed statements about the log: how far its chains went, or what was pruned of them
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # checkpoint, pruned
    sa.Column("body", JsonText, nullable=False),  # exactly the bytes that are signed
    sa.Column("key", sa.Text, nullable=False),  # fingerprint of the public key
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("sent_at", Instant),  # to the sink outside
)

# Sums over entries, kept up as the log grows. Time comes early in the key, so that what changes now lies together.
audit_rollups = sa.Table(
    "audit_rollups",
    METADATA,
    sa.Column("grain", sa.Text, primary_key=True),  # hour, day
    sa.Column("at", Instant, primary_key=True),  # start of the hour or day, UTC
    sa.Column("subject", Id, primary_key=True),  # whose calls: an agent, a member, or the owner of agents
    sa.Column("kind", sa.Text, primary_key=True),  # what `key` is: see store/audit/rollups.py
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("denied", sa.Boolean, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

rollup_state = sa.Table(
    "rollup_state",  # how far in the log each part of the sums goes
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Text, nullable=False),
)
