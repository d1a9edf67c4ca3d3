"""The database's shape, step by step (alembic).

Since release 0.1.0 migrations only add.
``make migration m="…"`` writes the next one.
"""
