"""A handler whose own record of a death is broken: the death is recorded all the same, once."""

from __future__ import annotations

from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_failures import deliver
from workers.messages import lease_expiry


def test_a_death_is_recorded_although_the_handler_can_not_record_its_own_part(engine: Engine) -> None:
    # given
    engine.execute("DROP TABLE test_hook")
    engine.script(7, "rejected")
    message = engine.enqueue(engine.tenant(), 7)[7]

    # when
    deliver(engine, message)

    # then
    assert engine.message(message) is None
    assert [(letter.error, letter.internal_id) for letter in engine.letters()] == [("functional", "10007")]


def test_one_broken_handler_does_not_keep_other_leases_from_ending(engine: Engine) -> None:
    # given: two messages whose workers are gone, one of them for the last time and with a broken hook
    engine.execute("DROP TABLE test_hook")
    ids = engine.enqueue(engine.tenant(), 7, 8)
    engine.execute(
        """UPDATE message SET state = 'sent', deliveries = 1, started_at = now(), worker = 'gone',
                  lease_until = now() - interval '1 second', kills = CASE WHEN id = :last THEN 7 ELSE 0 END""",
        last=ids[7],
    )

    # when
    lease_expiry.expire()

    # then: nobody waits for the broken one
    assert engine.message(ids[8]).state == "ready"
    assert engine.message(ids[7]) is None or engine.message(ids[7]).state == "ready"
