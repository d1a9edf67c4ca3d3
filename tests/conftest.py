"""What every test may ask for. Fixtures live one file per service in ``tests/fixtures``.

``database_url``  a fresh copy of the migrated database      ``empty_database_url``  one without tables
``redis_url``     an emptied database number of its own      ``configured``          settings that name both
"""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.postgres",
    "tests.fixtures.valkey",
    "tests.fixtures.environment",
    "tests.fixtures.world",
]
