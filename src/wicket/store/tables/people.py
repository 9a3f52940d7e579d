"""Accounts, how they sign in, and their memberships of agents."""

import sqlalchemy as sa

from wicket.store.tables.base import METADATA, Id, Instant

accounts = sa.Table(
    "accounts",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),  # lower case
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("totp_secret", sa.LargeBinary),  # sealed under the server's key
    sa.Column("totp_confirmed_at", Instant),  # NULL: enrolment was begun and not ended
    sa.Column("totp_step", sa.BigInteger),  # last time step that was used: no code works twice
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

backup_codes = sa.Table(
    "backup_codes",
    METADATA,
    sa.Column("account_id", Id, primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),  # Argon2, in its own encoding
    sa.Column("used_at", Instant),
)

sign_in_codes = sa.Table(
    "sign_in_codes",  # sent by mail; also kept for addresses that may not sign in, so that nothing tells them apart
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),  # lower case
    sa.Column("digest", sa.LargeBinary, nullable=False),  # keyed
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("used_at", Instant),
    sa.Index("ix_sign_in_codes_email", "email", "created_at"),
    sa.Index("ix_sign_in_codes_created_at", "created_at"),
)

sign_in_links = sa.Table(
    "sign_in_links",  # one-time links that `wicket login` prints on the host
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)

dashboard_sessions = sa.Table(
    "dashboard_sessions",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False, index=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),  # of the cookie's value
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("mfa_at", Instant),  # when the second factor was shown
    sa.Column("mfa_attempts", sa.Integer, nullable=False),
    sa.Column("caller_ip", sa.Text, nullable=False),
    sa.Column("user_agent", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
)

idempotency_keys = sa.Table(
    "idempotency_keys",  # answers to creations, for whoever asks again with the same key
    METADATA,
    sa.Column("account_id", Id, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.LargeBinary, nullable=False),  # digest of method, path and body
    sa.Column("status", sa.Integer),  # NULL: under way
    sa.Column("answer", sa.LargeBinary),  # headers and body, sealed under the server's key
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
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

invites = sa.Table(
    "invites",
    METADATA,
    sa.Column("agent_id", Id, primary_key=True),
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),  # lower case
    sa.Column("created_by", Id, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.UniqueConstraint("id"),
    sa.Index("ix_invites_email", "email"),
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
