"""One world per file, emptied before each test."""

from __future__ import annotations

import pytest

from tests.fixtures.world import World


@pytest.fixture
def world(shared_world: World) -> World:
    """The world, empty."""
    shared_world.reset()
    return shared_world
