"""Find the alerts that a tenant had before

Revision: 20261127_3, after 20261127_2
"""

from __future__ import annotations

from alembic import op

revision = "20261127_3"
down_revision = "20261127_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Databases of between two releases may have it.
    op.create_index("ix_alert_tenant_id", "alert", ["tenant_id"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("ix_alert_tenant_id", "alert")
