"""How fast webhooks are answered and done, beside running workers.

    .venv/bin/python benchmarks/webhooks.py [--webhooks 500] [--seconds 5] [--idle 40]

First: ``--webhooks`` signed finish events, spread evenly over ``--seconds``, while two worker processes do what they
ask for. Reports p50, p99 and the slowest answer, and how many were lost. Then, on the idle system, single events one
after the other: the time from sending the webhook to AFAS having the PUT.

Everything runs on this machine: embedded PostgreSQL and Valkey, both simulators and the web server in processes of
their own; ``koppeling serve`` and ``koppeling worker`` are what a user starts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import settings
from migrations.run import upgrade
from models.course import Course
from models.direction import Direction
from models.enrollment import Enrollment
from models.person import Link, Person
from models.session import session, transaction
from models.tenant import Tenant, TenantDirection
from models.tenant_settings import AfasSettings, CompletionRule, CourseTarget, FieldMap, PluvoSettings, RemovalSettings
from ops.servers.embedded import start_postgres, start_valkey
from simulators.afas import AfasSimulator
from simulators.afas.tenant import COMPLETION_FIELD, GET_CONNECTOR, UPDATE_CONNECTOR, OAuthClient
from simulators.core.control_client import ControlClient
from simulators.core.server import serve
from simulators.pluvo import PluvoSimulator
from simulators.pluvo.webhooks import event_body, signed_headers

KOPPELING = str(Path(sys.executable).with_name("koppeling"))
SECRET, PASSWORD, TITLE, DAY = "whk-geheim", "geheim", "Training 340", "2026-06-30T22:30:00Z"
FIELDS = FieldMap.model_validate(
    {
        **{"event_id": "CrId", "internal_id": "Intern_ID", "external_id": "Extern_ID", "name": "Naam"},
        **{"email_primary": "Email_werk", "completion": "Voltooid_op"},
    }
)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@contextmanager
def process(*command: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process for the length of the block."""
    started = subprocess.Popen(  # noqa: S603  our own commands
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(35)
        except subprocess.TimeoutExpired:
            started.kill()


def simulator(stack: ExitStack, system: str) -> str:
    """Start a simulator in a process of its own; its URL."""
    code = f"from benchmarks.webhooks import simulate; simulate({system!r})"
    started = stack.enter_context(process(sys.executable, "-c", code, env={}))
    return first_url(started)


def first_url(started: subprocess.Popen[str]) -> str:
    """The URL in the line ``ready http://…``."""
    if started.stdout is None or not (line := started.stdout.readline()):
        raise SystemExit("a server did not start")
    return line.split()[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def wait_for(url: str) -> None:
    """Return once a server answers, whatever it says."""
    for _ in range(300):
        with suppress(requests.ConnectionError):
            requests.get(url, timeout=5)
            return
        time.sleep(0.1)
    raise SystemExit("the web server did not start")


def simulate(system: str) -> None:
    """Serve an empty simulator; run in a process of its own."""
    serve((AfasSimulator() if system == "afas" else PluvoSimulator()).app)


def make_tenant(afas: str, pluvo: str) -> int:
    """A tenant with one course, known to both simulators; its id."""
    ControlClient(afas).add({"12345": {"oauth_clients": {"koppeling": vars(OAuthClient([PASSWORD]))}}})
    ControlClient(pluvo).add({"acme": {"organisation": "acme", "clients": {"koppeling": {"secret": PASSWORD}}}})
    ControlClient(pluvo).do("acme", "add_training", title=TITLE)
    with session() as database:
        tenant = Tenant(
            slug="acme", name="Acme", timezone="Europe/Amsterdam", interval_seconds=3600,
            afas=AfasSettings(member_id="12345", client_id="koppeling", base_url=f"{afas}/t/12345/ProfitRestServices"),
            pluvo=PluvoSettings(organisation="acme", client_id="koppeling", calls_per_second=0,
                                base_url=f"{pluvo}/t/acme"),
            removals=RemovalSettings(policy="keep"), afas_client_secret=PASSWORD,
            pluvo_client_secret=PASSWORD, webhook_secret=SECRET,
        )  # fmt: skip
        database.add(tenant)
        database.flush()
        rule = CompletionRule(title=TITLE, field=COMPLETION_FIELD, type="date", column="Voltooid_op")
        for direction in Direction:
            database.add(TenantDirection(tenant_id=tenant.id or 0, direction=direction))
        database.add(
            Course(tenant_id=tenant.id or 0, event_id="340", getconnector=GET_CONNECTOR,
                   updateconnector=UPDATE_CONNECTOR, fields=FIELDS, pluvo=CourseTarget(offer_event_ref="afas-340"),
                   rules=[rule])
        )  # fmt: skip
        return int(tenant.id or 0)


def add_people(tenant_id: int, afas: str, pluvo: str, people: range) -> list[dict[str, Any]]:
    """People who finished, enrolled and linked on both sides; their Pluvo users."""
    users = []
    for person in people:
        user = ControlClient(pluvo).do("acme", "add_user", email=f"p{person}@example.nl", name=f"Persoon {person}")
        ControlClient(pluvo).do("acme", "complete", user_id=user["id"], title=TITLE, at=DAY)
        ControlClient(afas).do("12345", "enroll", event_id=340, internal_id=person, external_id=f"1{person:06d}")
        users.append(user)
    with session() as database:
        for person, user in zip(people, users, strict=True):
            known = Person(tenant_id=tenant_id, internal_id=str(person), external_id=f"1{person:06d}")
            database.add(known)
            database.flush()
            database.add(Link(tenant_id=tenant_id, person_id=known.id or 0, pluvo_id=user["id"], state="linked"))
            database.add(
                Enrollment(tenant_id=tenant_id, person_id=known.id or 0, course_id=1, external_id=known.external_id)
            )
    return users


def deliver(url: str, user: dict[str, Any], http: requests.Session) -> tuple[int, float]:
    """Send one event; status and seconds."""
    body = json.dumps(event_body("TRAINING_FINISHED", user, {"title": TITLE})).encode()
    started = time.perf_counter()
    answer = http.post(url, data=body, headers=signed_headers(SECRET, body), timeout=30)
    return answer.status_code, time.perf_counter() - started


def storm(url: str, users: Sequence[dict[str, Any]], seconds: float) -> None:
    """Send one event for each user, evenly spread, and wait until all are done."""
    http = requests.Session()
    http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
    for _ in range(20):  # a server that has been up for a moment: connections are open, modules are read
        body = b'{"event":"USER_CREATED"}'
        http.post(url, data=body, headers=signed_headers(SECRET, body), timeout=30)
    begin = time.perf_counter()

    def at_its_time(number: int) -> tuple[int, float]:
        time.sleep(max(0.0, begin + number * seconds / len(users) - time.perf_counter()))
        return deliver(url, users[number], http)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(at_its_time, range(len(users))))
    took = time.perf_counter() - begin
    while count("SELECT count(*) FROM message"):
        time.sleep(0.05)
    times = [seconds * 1000 for _, seconds in answers]
    done = count("SELECT count(*) FROM webhook_event WHERE handled_at IS NOT NULL")
    written = count("SELECT count(*) FROM completion WHERE state IN ('written', 'verified')")
    show(
        f"{len(users)} webhooks in {took:.1f} s: {sum(status == 200 for status, _ in answers)} answered 200, "
        f"{done} done, {written} dates written, all after {time.perf_counter() - begin:.1f} s"
    )
    show(
        f"answers: p50 {statistics.median(times):.0f} ms, p99 {percentile(times, 0.99):.0f} ms, max {max(times):.0f} ms"
    )


def idle(url: str, users: Sequence[dict[str, Any]]) -> None:
    """One event at a time: from sending it to the PUT being recorded as answered."""
    http, seconds = requests.Session(), []
    for user in users:
        started = time.perf_counter()
        deliver(url, user, http)
        while not count("SELECT count(*) FROM completion WHERE pluvo_id = :id AND state = 'written'", id=user["id"]):
            time.sleep(0.005)
        seconds.append(time.perf_counter() - started)
    show(
        f"{len(users)} single webhooks, to the PUT: p50 {statistics.median(seconds):.2f} s, "
        f"p99 {percentile(seconds, 0.99):.2f} s, max {max(seconds):.2f} s"
    )


def count(sql: str, **values: Any) -> int:
    """One number of the database."""
    with transaction() as connection:
        return int(connection.execute(text(sql), values).scalar_one())


def show(line: str) -> None:
    """Print."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Set everything up, measure, take it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhooks", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--idle", type=int, default=40)
    wanted = parser.parse_args()
    # Ended from outside, it still takes down what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="koppeling-bench-")))
        postgres, valkey = start_postgres(home), start_valkey(home)
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        env = {
            "KOPPELING_DATABASE_URL": postgres.url,
            "KOPPELING_REDIS_URL": valkey.url,
            "KOPPELING_SECRET_KEYS": Fernet.generate_key().decode(),
            "KOPPELING_ALLOW_INSECURE_URLS": "1",
        }
        os.environ.update(env)
        settings.get.cache_clear()  # starting servers has read it
        upgrade(postgres.url)
        afas, pluvo = simulator(stack, "afas"), simulator(stack, "pluvo")
        tenant_id = make_tenant(afas, pluvo)
        users = add_people(tenant_id, afas, pluvo, range(1000, 1000 + wanted.webhooks + wanted.idle))
        port = free_port()
        stack.enter_context(process(KOPPELING, "serve", "--port", str(port), env=env))
        stack.enter_context(process(KOPPELING, "worker", "--processes", "2", env=env))
        url = f"http://127.0.0.1:{port}/webhooks/pluvo/acme"
        wait_for(url)
        while count("SELECT count(*) FROM worker WHERE heartbeat_at > now() - interval '10 seconds'") < 2:
            time.sleep(0.2)
        storm(url, users[: wanted.webhooks], wanted.seconds)
        if wanted.idle:
            idle(url, users[wanted.webhooks :])


if __name__ == "__main__":
    main()
