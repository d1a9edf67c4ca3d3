"""Show large tenants, long runs and many replays without reading all there is of them

Revision: 20261126_14, after 20261126_13
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_14"
down_revision = "20261126_13"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_enrollment_troubled",
        "enrollment",
        ["tenant_id", "course_id", "outcome"],
        postgresql_where=sa.text("outcome IN ('rejected', 'ambiguous', 'failed') OR row_state = 'rejected'"),
    )
    op.create_index(
        "ix_plan_line_other_name",
        "plan_line",
        ["tenant_id"],
        postgresql_where=sa.text("action = 'link' AND outcome = 'linked' AND before->>'name' <> after->>'name'"),
    )
    op.create_index("ix_plan_line_tenant_id_run_id_id", "plan_line", ["tenant_id", "run_id", "id"])
    op.create_index(
        "ix_dead_letter_open_work",
        "dead_letter",
        ["kind", "subject_id", "id"],
        postgresql_include=["tenant_id", "direction", "state"],
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_index("ix_dead_letter_open_work", "dead_letter")
    op.drop_index("ix_plan_line_tenant_id_run_id_id", "plan_line")
    op.drop_index("ix_plan_line_other_name", "plan_line")
    op.drop_index("ix_enrollment_troubled", "enrollment")
