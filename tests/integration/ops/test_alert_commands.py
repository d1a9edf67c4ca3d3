"""``koppeling alerts …``, ``workers``, ``doctor``, and ``[tenants.alerts]`` in the tenants file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from models.session import session, transaction
from models.tenant import Tenant
from ops import doctor
from ops.access import Actor, Role, acting, current_user
from ops.alerts import verbs
from ops.problems import AlreadyDecided, FileProblems, Forbidden, NotThere, Problem
from ops.tenants import export, file
from ops.tenants.importing import Imported
from tenancy.alerts import open_alert
from tests.fixtures.mailbox import Mailbox, mail_server
from tests.integration.ops.alerting import OPERATOR, hold, notice
from tests.integration.ops.conftest import run_sql, scalar
from tests.integration.ops.test_command_line import Command, koppeling, one_line
from tests.unit.ops.tenants.test_file import GOOD
from workers.process.heartbeat import machine

__all__ = ["koppeling"]  # a fixture
ALERTS = """
[tenants.alerts]
mail = ["beheer@example.nl", "tweede@example.nl"]
webhook = "https://hooks.example.nl/koppeling"
webhook_secret = "zeer-geheim"
language = "en"
quiet = "22:00-07:00"
"""


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mail_server() as made:
        yield made


def mailing(environment: dict[str, str], box: Mailbox) -> dict[str, str]:
    """Settings with a mail server and one who is told."""
    return environment | {
        "KOPPELING_SMTP_URL": f"smtp+plain://127.0.0.1:{box.port}",
        "KOPPELING_SMTP_FROM": "koppeling@example.org",
        "KOPPELING_ALERT_MAIL": OPERATOR,
        "KOPPELING_ALERT_LANGUAGE": "en",
    }


def document(koppeling: Command, environment: dict[str, str], *words: str) -> dict[str, object]:
    done = koppeling(*words, "--json", **environment)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


# ------------------------------------------------------------------------------------------------------------- alerts


def test_alerts_are_listed_taken_care_of_and_silenced(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    hold(acme)
    notice()
    listed = document(koppeling, environment, "alerts", "list", "--language", "en")
    assert isinstance(listed["items"], list)
    [one] = listed["items"]
    assert (one["tenant"], one["kind"], one["state"]) == ("acme", "hold", "open")
    assert one["text"].startswith("2 changes are held back")

    done = koppeling("alerts", "ack", str(one["id"]), "--reason", "I look", "--who", "anna", **environment)
    assert done.stdout == f"Alert {one['id']} is taken care of by anna.\n"
    again = koppeling("alerts", "ack", str(one["id"]), "--who", "bert", **environment)
    assert one_line(again) == f"Alert {one['id']} is taken care of by anna already."

    muted = document(koppeling, environment, "alerts", "mute", "--tenant", "acme", "--for", "4h", "--reason", "known")
    listed = document(koppeling, environment, "alerts", "mutes")
    assert isinstance(listed["items"], list)
    assert [(one["id"], one["tenant"], one["reason"]) for one in listed["items"]] == [(muted["id"], "acme", "known")]
    assert koppeling("alerts", "unmute", str(muted["id"]), **environment).returncode == 0
    late = one_line(koppeling("alerts", "unmute", str(muted["id"]), **environment))
    assert late.startswith(f"This silence was ended already: {current_user()} was first, at ")
    assert one_line(koppeling("alerts", "unmute", "999", **environment)).startswith("There is no silence 999")
    verbs_ = scalar("SELECT array_agg(verb ORDER BY id) FROM operator_action WHERE verb LIKE 'alerts%'")
    assert verbs_ == ["alerts ack", "alerts mute", "alerts unmute"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mute", "--reason", "r"], "Say --tenant, --kind or both"),
        (["mute", "--kind", "nonsense", "--reason", "r"], "--kind is one of hold"),
        (["mute", "--tenant", "acme", "--reason", " "], "--reason is empty"),
        (["mute", "--tenant", "acme", "--for", "400d", "--reason", "r"], "a year at most"),
        (["mute", "--tenant", "nobody", "--reason", "r"], "There is no tenant 'nobody'"),
        (["ack", "12"], "There is no alert 12"),
        (["list", "--state", "lost"], "--state is one of open, closed"),
        (["test"], "Nobody is told"),
        (["test", "--tenant", "acme"], "acme names nobody"),
    ],
)
def test_what_can_not_be_done_is_refused_in_one_line(
    acme: int, koppeling: Command, environment: dict[str, str], words: list[str], told: str
) -> None:
    assert told in one_line(koppeling("alerts", *words, **environment))


def test_a_test_says_of_each_recipient_what_came_of_it(
    acme: int, koppeling: Command, environment: dict[str, str], box: Mailbox
) -> None:
    named = mailing(environment, box) | {"KOPPELING_ALERT_MAIL": f"{OPERATOR},gone@example.org"}
    box.answers["gone@example.org"] = ["550 no such user"]
    done = koppeling("alerts", "test", "--language", "en", **named)

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"mail {OPERATOR}: sent",
        "mail gone@example.org: refused: The mail server refuses this recipient or this mail. Correct the address "
        "where recipients are named.",
    ]
    assert box.subjects == ["Koppeling: a test"]
    sent = document(koppeling, named, "alerts", "sent")
    assert isinstance(sent["items"], list)
    assert [one["state"] for one in sent["items"]] == ["refused", "sent"]


def test_a_test_without_a_mail_server_says_what_to_set(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    named = environment | {"KOPPELING_ALERT_MAIL": OPERATOR}
    assert "set KOPPELING_SMTP_URL" in one_line(koppeling("alerts", "test", **named))


def test_who_sees_one_tenant_finds_no_alert_of_another(acme: int, import_text: Callable[[str], list[Imported]]) -> None:
    import_text(GOOD.replace('"acme"', '"beta"').replace("12345", "67890"))
    beta = int(scalar("SELECT id FROM tenant WHERE slug = 'beta'"))
    with transaction() as connection:
        for tenant in (acme, beta, None):
            open_alert(connection, tenant, "no_room", None, "…", {})
    numbers = {one["tenant"]: one["id"] for one in verbs.listing().items}
    silence = verbs.mute(tenant="beta", kind=None, seconds=60, reason="r", who="root")

    with acting(Actor("anna", Role.OPERATOR, frozenset({"acme"}))):
        assert [one["tenant"] for one in verbs.listing().items] == ["acme"]
        assert verbs.mutes() == []
        for number in (numbers["beta"], numbers[None]):
            with pytest.raises(NotThere):
                verbs.ack(number)
        with pytest.raises(NotThere):
            verbs.unmute(silence["id"])
        with pytest.raises(NotThere):
            verbs.mute(tenant="beta", kind=None, seconds=60, reason="r")
        with pytest.raises(Forbidden):
            verbs.mute(tenant=None, kind="hold", seconds=60, reason="r")
        with pytest.raises(Forbidden):
            verbs.send_test(None)
        assert verbs.ack(numbers["acme"])["acked_by"] == "anna"
    with acting(Actor("vera", Role.VIEWER)), pytest.raises(Forbidden):
        verbs.mute(tenant="acme", kind=None, seconds=60, reason="r")


def test_an_alert_that_is_over_can_not_be_taken_care_of(acme: int) -> None:
    with transaction() as connection:
        open_alert(connection, acme, "no_room", None, "…", {})
    number = verbs.listing().items[0]["id"]
    run_sql("UPDATE alert SET closed_at = now()")

    with pytest.raises(AlreadyDecided, match="is over"):
        verbs.ack(number)


# ---------------------------------------------------------------------------------------------------- the tenants file


def test_a_tenants_alerts_are_stored_and_exported_again_without_the_secret(
    import_text: Callable[[str], list[Imported]],
) -> None:
    import_text(GOOD)
    [done] = import_text(GOOD.replace("[tenants.removals]", f"{ALERTS}\n[tenants.removals]"))
    assert "alerts.mail: changed" in done.changes
    assert "alerts.webhook_secret: set" in done.changes
    assert "zeer-geheim" not in str(done.changes)
    assert "beheer" not in str(done.changes)

    written = export.exported("acme")
    assert 'mail = ["beheer@example.nl", "tweede@example.nl"]' in written
    assert 'webhook_secret = { env = "ALERTS_SECRET_ACME" }' in written
    assert "zeer-geheim" not in written
    with session() as opened:
        assert opened.get_one(Tenant, scalar("SELECT id FROM tenant")).alerts_secret == "zeer-geheim"
    stored = bytes(scalar("SELECT alerts_secret FROM tenant"))
    assert b"zeer-geheim" not in stored

    for name, value in (("ALERTS", "zeer-geheim"), ("AFAS_CLIENT", "s1"), ("PLUVO_CLIENT", "s2")):
        written = written.replace(f'{{ env = "{name}_SECRET_ACME" }}', f'"{value}"')
    [again] = import_text(written)
    assert again.action == "unchanged", again.changes


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('mail = ["nobody"]', "tenants.alerts.mail: is no e-mail address such as support@example.nl"),
        ('mail = ["a@example.nl\\r\\nBcc: b@example.nl"]', "is no e-mail address"),
        ('mail = "a@example.nl"', 'tenants.alerts.mail: must be a list of addresses: ["support@example.nl"]'),
        ('quiet = "22-7"', "tenants.alerts.quiet: must be hours such as 22:00-07:00"),
        ('webhook = "https://user:pw@example.nl/x"\nwebhook_secret = "s"', "must be https://host/path"),
        ('webhook = "http://example.nl/x"\nwebhook_secret = "s"', "must be https://host/path"),
        ('webhook = "https://example.nl/x"', "webhook_secret is missing"),
        ('language = "de"', "must be 'nl' or 'en'"),
        ("mails = []", "unknown key (did you mean mail?)"),
    ],
)
def test_what_is_wrong_with_alerts_is_told_with_its_line(
    written: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import settings

    monkeypatch.delenv("KOPPELING_ALLOW_INSECURE_URLS", raising=False)
    settings.get.cache_clear()
    with pytest.raises(FileProblems) as caught:
        file.parse(f"{GOOD}\n[tenants.alerts]\n{written}\n", name="tenants.toml", folder=Path())

    assert told in str(caught.value)


def test_a_webhook_without_a_stored_secret_is_refused(import_text: Callable[[str], list[Imported]]) -> None:
    from ops.tenants import importing

    import_text(GOOD)
    content = f'{GOOD}\n[tenants.alerts]\nwebhook = "https://example.nl/x"\n'
    with pytest.raises(Problem, match=r"alerts\.webhook_secret missing"):
        importing.apply(file.parse(content, name="tenants.toml", folder=Path(), keep_secrets=True), "tester")


# -------------------------------------------------------------------------------------------------- workers and doctor


def test_workers_are_listed_by_host_with_what_they_do_and_who_leads(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    for name, host, age in (("a:1:x", "a/0011", 0), ("b:2:y", "b/0022", 60)):
        run_sql(
            "INSERT INTO worker (id, host, pid, threads, code_version, heartbeat_at)"
            " VALUES (:id, :host, 1, 8, 'v', now() - make_interval(secs => :age)) RETURNING id",
            id=name,
            host=host,
            age=age,
        )
    run_sql("INSERT INTO service (name, worker) VALUES ('relay', 'a:1:x') RETURNING name")
    run_sql(
        "INSERT INTO message (tenant_id, kind, direction, subject_id, state, worker, lock)"
        " VALUES (:t, 'enrollment.upsert', 'enrollments', 1, 'sent', 'a:1:x', 'l') RETURNING id",
        t=acme,
    )

    found = document(koppeling, environment, "workers")
    assert (found["alive"], found["threads"], found["hosts"]) == (1, 8, 1)
    assert isinstance(found["workers"], list)
    assert [(one["host"], one["alive"], one["messages"], one["leads"]) for one in found["workers"]] == [
        ("a", True, 1, ["relay"]),
        ("b", False, 0, []),
    ]
    assert isinstance(found["queue"], list)
    assert [(one["tenant"], one["in_flight"]) for one in found["queue"]] == [("acme", 1)]
    assert "gone" in koppeling("workers", **environment).stdout


@pytest.mark.parametrize(("age", "code"), [(None, 1), (60, 1), (0, 0)])
def test_a_machine_is_asked_whether_a_worker_of_its_own_lives(
    acme: int, koppeling: Command, environment: dict[str, str], age: int | None, code: int
) -> None:
    beating = [("elsewhere", "b/0022", 0), *([("here", machine(), age)] if age is not None else [])]
    for name, host, seconds in beating:
        run_sql(
            "INSERT INTO worker (id, host, pid, threads, code_version, heartbeat_at)"
            " VALUES (:id, :host, 1, 8, 'v', now() - make_interval(secs => :age)) RETURNING id",
            id=name,
            host=host,
            age=seconds,
        )

    done = koppeling("workers", "--here", "--json", **environment)

    assert done.returncode == code, done.stderr
    assert [one["id"] for one in json.loads(done.stdout)["workers"]] == (["here"] if age is not None else [])


def codes(found: dict[str, object]) -> dict[str, str]:
    assert isinstance(found["checks"], list)
    return {one["check"]: one["code"] for one in found["checks"]}


def test_the_doctor_names_what_is_wrong_and_what_to_do(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    done = koppeling("doctor", "--json", **environment)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    told = codes(found)
    assert told["database"] == "ok"
    assert told["schema"] == "ok"
    assert told["keys"] == "ok"
    assert told["broker"] == "ok"
    assert told["workers"] == "no_worker"
    assert told["timetable"] == "timetable_nobody"
    assert told["alerts"] == "alerts_nobody"
    assert told["public url"] == "no_public_url"
    for one in found["checks"]:
        assert one["code"] == "ok" or (one["cause"] and one["action"]), one
    dutch = koppeling("doctor", "--language", "nl", **environment).stdout
    assert "Er draait geen worker" in dutch


def test_the_doctor_finds_nothing_wrong_where_all_is_well(
    acme: int, koppeling: Command, environment: dict[str, str], box: Mailbox
) -> None:
    from models.worker import code_version

    run_sql("INSERT INTO worker (id, host, pid, code_version) VALUES ('a', 'a', 1, :v) RETURNING id", v=code_version())
    for name in ("relay", "maintenance", "timetable", "alerts"):
        run_sql("INSERT INTO service (name, worker) VALUES (:name, 'a') RETURNING name", name=name)
    well = mailing(environment, box) | {"KOPPELING_PUBLIC_URL": "https://console.example.org"}
    done = koppeling("doctor", "--json", **well)

    assert done.returncode == 0, done.stdout
    assert set(codes(json.loads(done.stdout)).values()) <= {"ok", "broker_policy_unknown"}


def test_the_doctor_tells_of_workers_that_found_too_few_connections(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    for name, threads, connections in (("a", 8, 14), ("b", 8, 5), ("c", 32, 20)):
        run_sql(
            "INSERT INTO worker (id, host, pid, threads, connections, code_version)"
            " VALUES (:id, 'a', 1, :threads, :connections, 'v') RETURNING id",
            id=name, threads=threads, connections=connections,
        )  # fmt: skip
    found = json.loads(koppeling("doctor", "--json", **environment).stdout)
    (told,) = (one for one in found["checks"] if one["code"] == "few_connections")
    assert (told["severity"], told["parameters"]) == ("warning", {"count": 2, "missing": 15})


@pytest.mark.parametrize(
    (("changed", "finding")),
    [
        ({"KOPPELING_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/x"}, ("database", "database_unreachable")),
        ({"KOPPELING_REDIS_URL": "redis://127.0.0.1:9/0"}, ("broker", "broker_unreachable")),
        ({"KOPPELING_SECRET_KEYS": "bOhHJfcOe0cXCSkVQQzWPSqXIDUYNMDrqfBrrAgJ9Dk="}, ("keys", "keys_missing")),
        ({"KOPPELING_ALERT_MAIL": "ops@example.org"}, ("mail", "mail_missing")),
        (
            {"KOPPELING_SMTP_URL": "smtp+plain://127.0.0.1:9", "KOPPELING_SMTP_FROM": "k@example.org"},
            ("mail", "smtp_unreachable"),
        ),
    ],
)
def test_the_doctor_goes_on_with_all_other_questions_after_one_that_went_wrong(
    acme: int, koppeling: Command, environment: dict[str, str], changed: dict[str, str], finding: tuple[str, str]
) -> None:
    done = koppeling("doctor", "--json", **environment | changed)

    assert done.returncode == 1
    told = codes(json.loads(done.stdout))
    assert finding in told.items()
    assert {"broker", "mail", "public url"} <= told.keys()
    assert "bOhHJ" not in done.stdout


def test_the_doctor_tells_of_a_broker_that_is_well_while_the_database_is_away(
    koppeling: Command, environment: dict[str, str]
) -> None:
    away = environment | {"KOPPELING_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/x", "KOPPELING_REDIS_PREFIX": ""}

    told = codes(document(koppeling, away, "doctor"))

    assert (told["database"], told["broker"]) == ("database_unreachable", "ok")


@pytest.mark.parametrize("named", ["mail", "quality_mail"])
def test_the_doctor_misses_a_mail_server_where_a_tenant_names_somebody(
    acme: int, koppeling: Command, environment: dict[str, str], named: str
) -> None:
    run_sql(
        "UPDATE tenant SET alerts = jsonb_build_object(CAST(:key AS text), '[\"beheer@example.nl\"]'::jsonb)", key=named
    )

    assert codes(document(koppeling, environment, "doctor"))["mail"] == "mail_missing"


@pytest.mark.parametrize("here", [True, False])
def test_the_doctor_names_a_time_zone_that_is_not_known_here_or_to_the_database(
    acme: int, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    assert next(one for one in doctor.document()["checks"] if one["check"] == "zones")["code"] == "ok"
    run_sql("UPDATE tenant SET timezone = 'Mars/Olympus'")
    if here:
        monkeypatch.setattr(doctor, "_has_zone", lambda name: True)

    found = {one["check"]: one for one in doctor.document()["checks"]}

    assert (found["zones"]["code"], found["zones"]["parameters"]) == ("zones", {"zones": "Mars/Olympus"})
    assert found["retention"]["code"] == "ok"


def test_the_doctor_says_that_tables_are_old(
    koppeling: Command, environment: dict[str, str], empty_database_url: str
) -> None:
    old = environment | {"KOPPELING_DATABASE_URL": empty_database_url}
    assert codes(document(koppeling, old, "doctor"))["schema"] == "schema"


def test_the_doctor_sees_a_database_that_takes_no_writes(
    acme: int, koppeling: Command, environment: dict[str, str], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())

    assert codes(document(koppeling, environment, "doctor"))["database"] == "read_only"


def test_the_doctor_says_that_people_are_found_by_the_beginning_of_their_names(
    acme: int, koppeling: Command, environment: dict[str, str]
) -> None:
    assert codes(document(koppeling, environment, "doctor"))["extensions"] == "ok"
    run_sql("DROP INDEX ix_person_search")

    assert codes(document(koppeling, environment, "doctor"))["extensions"] == "no_trigrams"
