"""Indexes for what is listed, and a ledger that is updated in place

The indexes are built at once and not ``CONCURRENTLY``: that waits for every open transaction, and another machine that
waits for its turn to migrate has one. The longest, over the links, takes about a second for each million.

Revision: 20261126_2, after 20261126_1
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_2"
down_revision = "20261126_1"
branch_labels = None
depends_on = None

# Tables that are updated all the time: (name, storage parameters).
STORAGE: dict[str, dict[str, float]] = {
    "message": {
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 1000,
        "autovacuum_vacuum_cost_delay": 0,
    },
    "run": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.01},
    "tenant_direction": {"fillfactor": 70},
}


def upgrade() -> None:
    for table, parameters in STORAGE.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in parameters.items())})")
    # Not the lease, which each claim changes.
    op.drop_index("ix_message_sent", table_name="message")
    op.create_index(
        "ix_message_sent", "message", ["tenant_id", "direction"], postgresql_where=sa.text("state = 'sent'")
    )
    # Whether something of a run is out: without walking through all of it that waits.
    op.drop_index("ix_message_run", table_name="message")
    op.create_index("ix_message_run", "message", ["run_id", "state"])
    # A handful of rows, each written every five seconds.
    op.drop_index("ix_worker_heartbeat_at", table_name="worker")
    op.create_index("ix_link_state", "link", ["state", "person_id"], postgresql_where=sa.text("state <> 'linked'"))
    op.create_index("ix_dead_letter_error_id", "dead_letter", ["error", "id"])
    op.create_index("ix_dead_letter_last_failed_at", "dead_letter", ["last_failed_at"])
    op.create_index("ix_dead_letter_open", "dead_letter", ["tenant_id"], postgresql_where=sa.text("state = 'open'"))
    op.create_index("ix_hold_line_open", "hold_line", ["tenant_id"], postgresql_where=sa.text("state = 'open'"))


def downgrade() -> None:
    op.drop_index("ix_hold_line_open", table_name="hold_line")
    op.drop_index("ix_dead_letter_open", table_name="dead_letter")
    op.drop_index("ix_dead_letter_last_failed_at", table_name="dead_letter")
    op.drop_index("ix_dead_letter_error_id", table_name="dead_letter")
    op.drop_index("ix_link_state", table_name="link")
    op.create_index("ix_worker_heartbeat_at", "worker", ["heartbeat_at"])
    op.drop_index("ix_message_run", table_name="message")
    op.create_index("ix_message_run", "message", ["run_id"])
    op.drop_index("ix_message_sent", table_name="message")
    op.create_index("ix_message_sent", "message", ["lease_until"], postgresql_where=sa.text("state = 'sent'"))
    for table, parameters in STORAGE.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(parameters)})")
