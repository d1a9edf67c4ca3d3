"""PostgreSQL's advisory locks that we take: one number each, so that no two purposes wait for each other."""

from __future__ import annotations

from enum import IntEnum


class AdvisoryLock(IntEnum):
    """Alone, a lock that one process holds at a time; with a second key, a class of such locks."""

    # One process migrates.
    MIGRATION = 7_301_000
    # One process relays.
    RELAY = 7_301_001
    # With the number of a slot: one of the calls that an AFAS environment takes at once.
    CALL_SLOT = 7_301_002
    # With a tenant: what its completions are changed under.
    COMPLETIONS = 7_301_003
    # With a tenant and direction: runs are queued and claimed one by one.
    RUNS = 7_301_004
    # Processes that start share PostgreSQL's connections one after the other.
    CONNECTIONS = 7_301_005
    # One tenants file is imported at a time.
    TENANTS_IMPORT = 7_301_010
    # One process changes who is an admin.
    ADMINS = 7_301_013
    # With a name, or an address: attempts to log in are counted one by one.
    LOGIN = 7_301_014
    # With a batch: one process works on a batch of replays.
    REPLAY_BATCH = 7_301_011
    # With a tenant: what its rules link is written down by one run at a time.
    COURSES = 7_301_012
