"""Keep lines that no hold has out of the index by holds

Revision: 20261127_2, after 20261127_1
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261127_2"
down_revision = "20261127_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_plan_line_hold_id", "plan_line")
    op.create_index("ix_plan_line_hold_id", "plan_line", ["hold_id"], postgresql_where=sa.text("hold_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_plan_line_hold_id", "plan_line")
    op.create_index("ix_plan_line_hold_id", "plan_line", ["hold_id"])
