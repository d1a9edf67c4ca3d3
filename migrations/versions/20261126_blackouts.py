"""Hours of a tenant in which no run begins by itself

Revision: 20261126_11, after 20261126_10
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_11"
down_revision = "20261126_10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("blackout", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
    op.add_column("tenant", column)


def downgrade() -> None:
    op.drop_column("tenant", "blackout")
