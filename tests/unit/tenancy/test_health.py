"""What reopens a quarantine: an answer to the call that failed, of the system that failed."""

from __future__ import annotations

from clients.http import Call
from tenancy.health import proves

LOOK = Call("Pluvo", "findUsers", 200, 0.1, None)
READ = Call("AFAS", "reading a page", 200, 0.1, None)
WRITE = Call("AFAS", "writing", 200, 0.1, None)
TOKEN = Call("AFAS", "fetching an AFAS access token", 200, 0.1, None, token=True)


def test_a_right_that_one_call_needs_is_proved_by_that_call() -> None:
    failed = {"kind": "completion.write_back", "system": "AFAS", "call": "writing", "access": False}
    assert not proves(failed, [LOOK])
    assert not proves(failed, [LOOK, READ, TOKEN])
    assert proves(failed, [READ, WRITE])


def test_access_to_a_system_is_proved_by_any_call_of_it_but_for_a_token() -> None:
    failed = {"system": "AFAS", "call": "reading a page", "access": True}
    assert not proves(failed, [LOOK])
    assert not proves(failed, [TOKEN])
    assert proves(failed, [WRITE])


def test_who_called_nobody_proves_nothing() -> None:
    for failed in (None, {}, {"system": "Pluvo", "call": "x", "access": True}):
        assert not proves(failed, [])
