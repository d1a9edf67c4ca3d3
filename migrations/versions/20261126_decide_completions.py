"""Let an operator accept a completion as it is, keep why a replay was started, and list what is open, and who did what

The indexes are built at once, as in 20261126_2 and for the reason given there.

Revision: 20261126_7, after 20261126_6
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_7"
down_revision = "20261126_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("completion", sa.Column("closed_for", sa.String()))
    op.add_column("completion", sa.Column("closed_at", sa.DateTime(timezone=True)))
    op.add_column("completion", sa.Column("closed_by", sa.String()))
    op.add_column("completion", sa.Column("closed_reason", sa.String()))
    op.add_column("replay_batch", sa.Column("reason", sa.String()))
    op.create_index(
        "ix_completion_open",
        "completion",
        ["state", "id"],
        postgresql_where=sa.text("state NOT IN ('verified', 'unchanged')"),
    )
    op.create_index("ix_operator_action_tenant_id_id", "operator_action", ["tenant_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_operator_action_tenant_id_id", table_name="operator_action")
    op.drop_index("ix_completion_open", table_name="completion")
    op.drop_column("replay_batch", "reason")
    for name in ("closed_reason", "closed_by", "closed_at", "closed_for"):
        op.drop_column("completion", name)
