"""Keep users, their sessions, tokens and attempts to log in; find what was done with one thing

Rules: the release that runs while this happens must go on working (add first, drop a release later); plain ``sa.``
types, nothing imported from models; no long lock on a large table (build indexes concurrently).

Revision: 20261126_10, after 20261126_9
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_10"
down_revision = "20261126_9"
branch_labels = None
depends_on = None

ROLES = "role IN ('viewer', 'operator', 'admin')"


def number() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def jsonb(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)


def instant(name: str, *, now: bool = False, nullable: bool = True) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable and not now)


def upgrade() -> None:
    op.create_table(
        "console_user",
        number(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        jsonb("tenants"),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        instant("created_at", now=True),
        sa.Column("created_by", sa.String(), nullable=False),
        instant("password_at"),
        instant("disabled_at"),
        instant("last_login_at"),
        sa.CheckConstraint(ROLES, name=op.f("ck_console_user_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_user")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_console_user_issuer_subject")),
    )
    op.create_index("uq_console_user_name", "console_user", [sa.text("lower(name)")], unique=True)
    op.create_table(
        "console_session",
        number(),
        sa.Column("cookie_hash", sa.String(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("token_print", sa.String(), nullable=True),
        jsonb("pending"),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        instant("created_at", now=True),
        instant("seen_at", now=True),
        instant("expires_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["console_user.id"], name=op.f("fk_console_session_user_id_console_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_console_session_cookie_hash")),
    )
    op.create_index("ix_console_session_user_id", "console_session", ["user_id"])
    op.create_index("ix_console_session_expires_at", "console_session", ["expires_at"])
    op.create_table(
        "api_token",
        number(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("begins", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        jsonb("tenants"),
        instant("created_at", now=True),
        sa.Column("created_by", sa.String(), nullable=False),
        instant("expires_at"),
        instant("last_used_at"),
        instant("revoked_at"),
        sa.CheckConstraint(ROLES, name=op.f("ck_api_token_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    op.create_table(
        "login_attempt",
        number(),
        sa.Column("name_hash", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        instant("at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_attempt")),
    )
    op.create_index("ix_login_attempt_name_hash_at", "login_attempt", ["name_hash", "at"])
    op.create_index("ix_login_attempt_address_at", "login_attempt", ["address", "at"])
    op.create_index("ix_login_attempt_at", "login_attempt", ["at"])
    # The record of operators' verbs grows by hand, so this is over at once.
    op.create_index("ix_operator_action_subject", "operator_action", ["subject"])


def downgrade() -> None:
    op.drop_index("ix_operator_action_subject", table_name="operator_action")
    op.drop_table("login_attempt")
    op.drop_table("api_token")
    op.drop_table("console_session")
    op.drop_table("console_user")
