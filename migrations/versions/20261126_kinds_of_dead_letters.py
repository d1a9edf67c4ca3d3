"""Kinds of open dead letters, from an index alone: every page's header counts them

Built at once and not ``CONCURRENTLY``, as the indexes before it; over the few that are open it takes a moment.

Revision: 20261126_6, after 20261126_5
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_6"
down_revision = "20261126_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = ["tenant_id", "fingerprint", "first_failed_at"]
    op.create_index("ix_dead_letter_open_kinds", "dead_letter", columns, postgresql_where=sa.text("state = 'open'"))


def downgrade() -> None:
    op.drop_index("ix_dead_letter_open_kinds", table_name="dead_letter")
