"""Sign-in, invitations and idempotency; the log by months on PostgreSQL, with fewer trees on SQLite; its sums.

Revision ID: 0002
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTITIONED = {"audit": "id", "audit_policies": "entry_id", "outcomes": "entry_id"}
PLAIN_INDEXES = (
    "agent_id",
    "agent_name",
    "service",
    "tool",
    "member_id",
    "session_id",
    "reason_code",
    "caller_ip",
)
DENIED_INDEXES = ((), ("agent_id",), ("service",), ("tool",), ("member_id",))


def upgrade() -> None:
    _extend_accounts()
    _create_sign_in()
    _create_invites()
    _create_idempotency_keys()
    _rebuild_log()
    _create_checkpoints()
    _create_rollups()


def downgrade() -> None:
    raise NotImplementedError("the log is never rewritten backwards: restore a backup")


def _extend_accounts() -> None:
    for column in (
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
    ):
        op.add_column("accounts", column)
    op.create_table(
        "backup_codes",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_backup_codes")),
    )


def _create_sign_in() -> None:
    op.create_table(
        "sign_in_codes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_codes")),
    )
    op.create_index("ix_sign_in_codes_email", "sign_in_codes", ["email", "created_at"])
    op.create_index("ix_sign_in_codes_created_at", "sign_in_codes", ["created_at"])
    op.create_table(
        "sign_in_links",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_links")),
        sa.UniqueConstraint("digest", name=op.f("uq_sign_in_links_digest")),
    )
    op.create_table(
        "dashboard_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("mfa_at", sa.BigInteger(), nullable=True),
        sa.Column("mfa_attempts", sa.Integer(), nullable=False),
        sa.Column("caller_ip", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dashboard_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_dashboard_sessions_digest")),
    )
    op.create_index(op.f("ix_dashboard_sessions_account_id"), "dashboard_sessions", ["account_id"])


def _create_invites() -> None:
    op.create_table(
        "invites",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agent_id", "id", name=op.f("pk_invites")),
        sa.UniqueConstraint("id", name=op.f("uq_invites_id")),
    )
    op.create_index("ix_invites_email", "invites", ["email"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _rebuild_log() -> None:
    """Copy the log into tables made anew: neither a key nor partitions can be given to a table that is there."""
    bind = op.get_bind()
    is_postgresql = bind.dialect.name == "postgresql"
    for index in _indexes_before():
        op.drop_index(index)
    for table in PARTITIONED:
        op.rename_table(table, f"{table}_before")
    if is_postgresql:  # where the names of keys are those of indexes, and taken
        for table, key in (
            ("audit", "pk_audit"),
            ("audit", "uq_audit_writer_seq"),
            ("audit_policies", "pk_audit_policies"),
            ("outcomes", "pk_outcomes"),
        ):
            op.drop_constraint(key, f"{table}_before")
    _create_audit()
    _create_citations_and_outcomes()
    if is_postgresql:
        _create_partitions(bind)
    for table in PARTITIONED:
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")  # noqa: S608 - our own names
        op.drop_table(f"{table}_before")
    _index_log()


def _indexes_before() -> Sequence[str]:
    denied = ("_".join(("ix_audit_denied", *names)) for names in DENIED_INDEXES)
    return (*(f"ix_audit_{name}" for name in PLAIN_INDEXES), *denied, "ix_outcomes_entry_id")


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("writer", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Integer(), nullable=False),
        sa.Column("service", sa.Integer(), nullable=False),
        sa.Column("tool", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("caller_ip", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deny_message", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        postgresql_partition_by="RANGE (id)",
    )


def _create_citations_and_outcomes() -> None:
    op.create_table(
        "audit_policies",
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", "entry_id", name=op.f("pk_audit_policies")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (entry_id)",
    )
    op.create_table(
        "outcomes",
        sa.Column("writer", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "seq", "entry_id", name=op.f("pk_outcomes")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (entry_id)",
    )


def _create_partitions(bind: sa.Connection) -> None:
    """One a month, from the oldest entry to two months from now, and one for what fits in none."""
    now = datetime.now(UTC)
    oldest_us = bind.exec_driver_sql("SELECT min(decided_at) FROM audit_before").scalar_one()
    oldest = now if oldest_us is None else datetime.fromtimestamp(oldest_us // 1_000_000, UTC)
    month, last = _month_of(min(oldest, now)), _next(_next(_month_of(now)))
    for table in PARTITIONED:
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    while month <= last:
        first, end = _least_id(month), _least_id(_next(month))
        for table in PARTITIONED:
            name = f"{table}_{month:%Y_%m}"
            op.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{end}')")
        month = _next(month)


def _month_of(instant: datetime) -> datetime:
    return datetime(instant.year, instant.month, 1, tzinfo=UTC)


def _next(month: datetime) -> datetime:
    return _month_of(month + timedelta(days=31))


def _least_id(month: datetime) -> str:
    """The least UUIDv7 of an instant."""
    digits = f"{int(month.timestamp()) * 1000:012x}7000" + f"{1 << 63:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _index_log() -> None:
    op.create_index("ix_audit_writer", "audit", ["writer", "seq"])
    for name in PLAIN_INDEXES:
        op.create_index(f"ix_audit_{name}", "audit", [name, "id"])
    for names in DENIED_INDEXES:
        op.create_index(
            "_".join(("ix_audit_denied", *names)),
            "audit",
            [*names, "id"],
            sqlite_where=sa.text("denied"),
            postgresql_where=sa.text("denied"),
        )
    op.create_index(op.f("ix_outcomes_entry_id"), "outcomes", ["entry_id"])


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
    )


def _create_rollups() -> None:
    op.create_table(
        "audit_rollups",
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "grain", "at", "subject", "kind", "key", "denied", name=op.f("pk_audit_rollups")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollup_state")),
    )
