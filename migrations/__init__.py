"""The database's shape, step by step (alembic).

Until release 0.1.0 stands in CHANGELOG.md the first migration may be rewritten; from then on migrations only add.
``make migration m="…"`` writes the next one.
"""
