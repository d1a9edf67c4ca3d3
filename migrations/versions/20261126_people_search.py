"""Search people by any part of their name or address

The index over parts of words needs PostgreSQL's own extension ``pg_trgm``, which a database's owner may create. Where
the user may not, or the server lacks it, names are found by their beginning (docs/operations.md says what to do).

The index is built at once, some five seconds for each hundred thousand people.

Revision: 20261126_9, after 20261126_8
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_9"
down_revision = "20261126_8"
branch_labels = None
depends_on = None

_SEARCH = (
    "(' ' || regexp_replace(lower(normalize(coalesce(name, '') || ' ' || coalesce(email, ''), NFKD)),"
    " '[\\u0300-\\u036f]+', '', 'g'))"
)
_TRIGRAMS = """
    DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
        RAISE NOTICE 'pg_trgm can not be created: people are searched by the beginning of their name';
    END $$
"""
_USABLE = "SELECT count(*) FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid)"
_NO_TRIGRAMS = """
    DO $$ BEGIN
        DROP EXTENSION IF EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN
        NULL;
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "people_search",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_search")),
    )
    op.create_index("ix_people_search_created_at", "people_search", ["created_at"])
    op.execute(_TRIGRAMS)
    usable = op.get_bind().execute(sa.text(_USABLE)).scalar()
    how = f"USING gin ({_SEARCH} gin_trgm_ops)" if usable else f"({_SEARCH} text_pattern_ops)"
    op.execute(f"CREATE INDEX ix_person_search ON person {how}")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_person_search")
    op.execute(_NO_TRIGRAMS)
    op.drop_table("people_search")
