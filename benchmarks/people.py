"""How many people a second a first sync makes when several share a call to Pluvo.

    .venv/bin/python -m benchmarks.people [--people 400] [--per-call 10] [--rate 5] [--answer-ms 0] [--workers 2]
                                          [--threads 8] [--bare 16]

``--rate 0``: as fast as Pluvo answers. ``--bare``: beside it a script that sends the calls of one person each, with so
many threads that keep no state and check nothing.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import requests

from benchmarks.bare import Entry, token
from benchmarks.flows import tenant_of, timed_run
from benchmarks.system import system
from models.tenant import Direction
from ops.terminal import output
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import world

DEFAULTS = {"people": 400, "per-call": 10, "rate": 5, "answer-ms": 0, "workers": 2, "threads": 8, "bare": 0}
WRITES = {"createUser", "updateUser", "createOfferEventEnrollments"}
# What is one person's own in a call.
OWN = {"email", "ref", "user_ref", "person_id", "contact_id"}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    tenant = tenant_of(given.people)
    with system(workers=given.workers, threads=given.threads) as made:
        made.fill(world((tenant,)), calls_per_second=given.rate, people_per_call=given.per_call)
        before = made.pluvo.state()
        if given.answer_ms:
            made.pluvo.fault("delay", seconds=given.answer_ms / 1000)
        run = timed_run(made, Direction.ENROLLMENTS)
        calls = [entry for entry in run.calls["pluvo"] if set(entry["fields"]) & WRITES]
        seconds = (at(calls[-1]) - at(calls[0])).total_seconds()
        output.say(f"people       {given.people / seconds:8.1f} a second, {len(calls) / seconds:.1f} calls a second")
        output.say(f"a call       {given.people / len(calls):8.1f} people")
        output.say(f"first sync   {run.seconds:8.1f} s, {run.document['outcomes']}")
        for name, used in run.cpu.items():
            output.say(f"cpu          {used / given.people * 1000:8.2f} ms a person in {name}")
        if given.bare:
            made.pluvo.replace(before)
            alone = next(entry for entry in calls if entry["fields"].count("createUser") == 1)
            output.say(f"bare         {bare(made.pluvo_url, tenant, alone, given):8.1f} people a second")
    return 0


def at(entry: Entry) -> datetime:
    """When a call arrived."""
    return datetime.fromisoformat(entry["at"])


def bare(url: str, tenant: SampleTenant, alone: Entry, given: argparse.Namespace) -> float:
    """Send one person's call again for as many people as there are, with so many threads; people a second."""
    base = f"{url}/t/{tenant.slug}"
    mine = threading.local()
    form = {"client_id": tenant.slug, "client_secret": tenant.secret("pluvo")}
    with requests.Session() as session:
        session.trust_env = False
        held = f"Bearer {token(session, f'{base}/oauth/token/', form)}"

    def send(number: int) -> None:
        if not hasattr(mine, "session"):
            mine.session = requests.Session()
            mine.session.trust_env = False
            mine.session.headers["Authorization"] = held
        other = {k: f"{number}-{v}" if k in OWN and v else v for k, v in alone["variables"].items()}
        body = {"query": alone["body"], "variables": other, "operationName": alone["operation"]}
        answer = mine.session.post(f"{base}/graphql/", json=body, timeout=60)
        answer.raise_for_status()
        if answer.json().get("errors"):
            raise ValueError(f"refused: {answer.text[:300]}")

    begun = time.perf_counter()
    with ThreadPoolExecutor(given.bare) as pool:
        list(pool.map(send, range(given.people)))
    return float(given.people / (time.perf_counter() - begun))


if __name__ == "__main__":
    sys.exit(main())
