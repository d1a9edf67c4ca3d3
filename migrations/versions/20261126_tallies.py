"""What all worker processes counted of calls and messages

Revision: 20261126_13, after 20261126_12
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_13"
down_revision = "20261126_12"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_tally")),
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    op.drop_table("tally")
