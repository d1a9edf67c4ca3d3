"""``python -m benchmarks.day_in_the_life``: thirty hours of one tenant of 200 people, told run by run.

Joiners, leavers, renames, a mail domain that moves, a filter that hides half, an emptied event, systems that are away.
Reading, planning, guards and messages are the real ones, against both simulators and a database of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog
from cryptography.fernet import Fernet

import settings
from clients.errors import RemoteError
from migrations.run import upgrade
from models.session import transaction
from ops.people import links
from ops.servers.embedded import start_postgres, start_valkey
from ops.terminal import output
from producers.enrollments import decide_holds
from producers.runs import result
from simulators.afas import AfasSimulator
from simulators.core.server import running
from simulators.pluvo import PluvoSimulator
from simulators.sample_data.people import people
from tests.fixtures.world import World

PEOPLE = 200
Event = Callable[[World], object]
# Who the administrator hid, by event and internal id, until everybody is shown again.
_hidden: dict[tuple[int, int], Any] = {}


@contextmanager
def made_world() -> Iterator[World]:
    """A tenant on both simulators, with a PostgreSQL of its own for as long as the day lasts."""
    home = Path(tempfile.mkdtemp(prefix="koppeling-day-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        postgres, valkey = start_postgres(home), start_valkey(home)
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        os.environ |= {
            "KOPPELING_HOME": str(home),
            "KOPPELING_DATABASE_URL": postgres.url,
            "KOPPELING_REDIS_URL": valkey.url,
            "KOPPELING_SECRET_KEYS": Fernet.generate_key().decode(),
            "KOPPELING_ALLOW_INSECURE_URLS": "1",
        }
        settings.get.cache_clear()
        upgrade(postgres.url)
        afas, pluvo = AfasSimulator(), PluvoSimulator()
        world = World(afas, pluvo, stack.enter_context(running(afas.app)), stack.enter_context(running(pluvo.app)))
        world.reset({"policy": "unenroll", "confirm_after": 3600})
        yield world


# ------------------------------------------------------------------------------------------------------ what happens


def begin(world: World) -> None:
    """200 people over two events; 20 of them have a Pluvo account already, and 30 accounts are nobody's."""
    for n, somebody in enumerate(people(PEOPLE + 160, first_id=1001)):
        if n < PEOPLE:
            _enroll(world, somebody.internal_id)
        if n < 20:
            world.pluvo.add_user(somebody.email.upper(), somebody.name)
    for n in range(30):
        world.pluvo.add_user(f"gast{n}@elders.example.com", f"Gast {n}")


def _enroll(world: World, internal_id: int) -> None:
    somebody = _EVERYBODY[internal_id]
    values = {"name": somebody.name, "email_primary": somebody.email, "external_id": somebody.external_id}
    for event_id in ([340] if internal_id <= 1120 else []) + ([341] if internal_id >= 1101 else []):
        world.afas.enroll(event_id, internal_id, **values)


_EVERYBODY = {somebody.internal_id: somebody for somebody in people(PEOPLE + 160, first_id=1001)}


def joins(*ids: int) -> Event:
    def do(world: World) -> None:
        for internal_id in ids:
            _enroll(world, internal_id)

    return do


def leaves(*ids: int) -> Event:
    def do(world: World) -> None:
        for event_id, internal_id in [key for key in world.afas.rows if key[1] in ids]:
            world.afas.remove(event_id, internal_id)

    return do


def renamed(*ids: int) -> Event:
    return lambda world: [world.afas.rename(one, f"{_EVERYBODY[one].name}-Smit") for one in ids]


def domain_moves(world: World) -> None:
    for _, internal_id in list(world.afas.rows):
        name = _EVERYBODY[internal_id].email.partition("@")[0]
        world.afas.set_email(internal_id, f"{name}@nieuw.example.com")


def shows_only(*events: int, odd: bool = False) -> Event:
    """The administrator narrows the GetConnector, or widens it again."""

    def do(world: World) -> None:
        if odd:
            _hidden.update({key: row for key, row in world.afas.rows.items() if key[1] % 2})
            for event_id, internal_id in _hidden:
                world.afas.remove(event_id, internal_id)
        world.afas.change_connector("Deelnemer_per_cursusevenement", events=list(events) or None)

    return do


def shows_all(world: World) -> None:
    for (event_id, internal_id), row in _hidden.items():
        world.afas.enroll(event_id, internal_id, **{name: getattr(row, name) for name in ("name", "email_primary")})
        world.afas.rows[event_id, internal_id].external_id = row.external_id
    _hidden.clear()
    world.afas.change_connector("Deelnemer_per_cursusevenement", events=None)


def shares(internal_id: int, other: int) -> Event:
    return lambda world: world.afas.set_email(internal_id, _address(world, other))


def swaps(one: int, other: int) -> Event:
    def do(world: World) -> None:
        mine, theirs = _address(world, one), _address(world, other)
        world.afas.set_email(one, theirs)
        world.afas.set_email(other, mine)

    return do


def _address(world: World, internal_id: int) -> str:
    return next(str(row.email_primary) for key, row in world.afas.rows.items() if key[1] == internal_id)


def fails(system: str, kind: str, **values: Any) -> Event:
    return lambda world: world.fault(system, kind, **values)


def works(world: World) -> None:
    world.clear_faults()


def releases(world: World) -> None:
    for hold in world.rows("SELECT id FROM hold WHERE state = 'open'"):
        with transaction() as connection:
            decide_holds.release(connection, hold["id"], reason="agreed with the customer", who="operator")
    world.drain()


def ignores(internal_id: int) -> Event:
    return lambda world: links.decide("acme", str(internal_id), "ignore", None, who="operator")


def by_hand(world: World) -> None:
    for n, row in enumerate(world.rows("SELECT pluvo_id FROM link WHERE state = 'linked' ORDER BY id LIMIT 4")):
        values: dict[str, Any] = {"archived": True} if n % 2 else {"name": "Met de hand"}
        world.pluvo.change_user(row["pluvo_id"], **values)


DAY: tuple[tuple[str, tuple[Event, ...], dict[str, Any]], ...] = (
    ("200 people, 20 of them in Pluvo already", (begin,), {}),
    ("nothing", (), {}),
    ("5 join", (joins(*range(1201, 1206)),), {}),
    ("6 get another name", (renamed(*range(1010, 1016)),), {}),
    ("2 leave", (leaves(1030, 1031),), {}),
    ("an hour later they are still gone", (), {}),
    ("one of them is back", (joins(1030),), {}),
    ("1 leaves, 2 join, 1 renamed", (leaves(1040), joins(1206, 1207), renamed(1050)), {}),
    ("12 leave at once", (leaves(*range(1060, 1072)),), {}),
    ("an hour later", (), {}),
    ("the operator releases them", (releases,), {}),
    ("the mail domain of everyone moves", (domain_moves,), {}),
    ("nothing, and nobody decides", (), {}),
    ("the operator releases the new addresses", (releases,), {}),
    ("a filter hides half", (shows_only(odd=True),), {}),
    ("still hidden", (), {}),
    ("the filter is put right", (shows_all,), {}),
    ("event 341 is empty", (shows_only(340),), {}),
    ("it is back", (shows_all,), {}),
    ("AFAS is away", (fails("afas", "status", status=502, match={"operation": "page"}),), {}),
    ("AFAS answers from a test copy", (works, fails("afas", "other_envid")), {}),
    ("a column is gone", (works, fails("afas", "column_missing", column="Naam")), {}),
    ("all well; one gets another's address", (works, shares(1080, 1081)), {}),
    ("the operator ignores them", (ignores(1080),), {}),
    ("two swap addresses", (swaps(1090, 1091),), {}),
    ("120 join at once", (joins(*range(1210, 1330)),), {}),
    ("the operator releases them", (releases,), {}),
    ("Pluvo is away while 3 are renamed", (renamed(1100, 1101, 1102), fails("pluvo", "status", status=502)), {}),
    ("Pluvo is back; 4 accounts changed by hand", (works, by_hand), {}),
    ("the nightly full run", (), {"full": True}),
)


# --------------------------------------------------------------------------------------------------------- how it reads


def told(world: World, number: int, what: str, options: dict[str, Any]) -> str:
    """One run and its line: outcomes that occurred, removals, how far the listing is trusted, calls."""
    world.rows("UPDATE enrollment SET absent_since = absent_since - interval '1 hour' RETURNING id")
    world.rows("UPDATE message SET state = 'ready', run_at = now() WHERE state = 'scheduled' RETURNING id")
    world.clear_log()
    try:
        run = world.sync(**options)
    except RemoteError as error:  # in earnest the run ends as failed and the next one tries again
        return f"{number:>2}  {what}\n    {'failed':<18} {error.system}: {error.code}"
    if run.rows != sum(run.outcomes.values()):
        raise RuntimeError(f"run {number} lost a row: {run.rows} rows, {run.outcomes}")
    outcomes = ", ".join(f"{n} {name}" for name, n in run.outcomes.items() if n) or "no rows"
    status = result.status_of(result.Count(run.outcomes, {"held": run.held_removals}), run.snapshot)
    removals = [f"{run.removed} removed"] if run.removed else []
    removals += [f"{run.held_removals} held"] if run.held_removals else []
    removals += [f"{run.unconfirmed} not yet sure"] if run.unconfirmed else []
    found = world.rows("SELECT guard, event_id FROM hold WHERE state = 'open' ORDER BY guard")
    why = [f"{hold['guard']}{' ' + hold['event_id'] if hold['event_id'] else ''}" for hold in found]
    calls = f"{len(world.calls('afas'))} AFAS, {len(world.calls())} Pluvo"
    listing = str(run.snapshot) + (f" ({', '.join(run.reasons)})" if run.reasons else "")
    lines = [f"{number:>2}  {what}", f"    {status:<18} {outcomes}"]
    lines += [f"    {'leavers':<18} {', '.join(removals)}"] if removals else []
    lines += [f"    {'held by':<18} {', '.join(why)}"] if why else []
    return "\n".join([*lines, f"    {'listing':<18} {listing} · {calls}"])


def main() -> int:
    """Play the day; 1 when Pluvo does not equal AFAS in the end."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    with made_world() as world:
        for number, (what, events, options) in enumerate(DAY, 1):
            for event in events:
                event(world)
            output.say(told(world, number, what, options))
        pluvo, afas = world.roster(), world.expected()
        sure = """SELECT lower(p.applied_email) AS email FROM person p
                    JOIN link l ON l.person_id = p.id AND l.state = 'linked'"""
        linked = {row["email"] for row in world.rows(sure)}
        apart = {event: sorted((pluvo[event] ^ afas[event]) & linked) for event in afas}
        output.say(f"\nOf all who are linked, Pluvo and AFAS differ in: {apart}")
    return int(any(apart.values()))


if __name__ == "__main__":
    sys.exit(main())
