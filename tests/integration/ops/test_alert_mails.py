"""Alerts by mail, through a real SMTP server: what is told, to whom, once, and what becomes of it when that is hard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from models.alert import Channel
from models.session import transaction
from ops.alerts import mail, plan, sender, service, verbs, watch
from ops.problems import NotThere
from tenancy.alerts import close_alert, open_alert
from tests.fixtures.mailbox import Mailbox, certificate, free_port, mail_server
from tests.integration.ops.alerting import (
    OPERATOR,
    decide,
    deliveries,
    hold,
    later,
    notice,
    setting,
    tell_operators,
    told,
    waited,
)
from tests.integration.ops.conftest import run_sql, scalar

ROOT = Path(__file__).parents[3]
SEND = "import sys; from ops.alerts import sender; from models.alert import Channel; sender.send_due(Channel.MAIL)"


@pytest.fixture
def box(acme: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server; those who run the installation are told in English."""
    with mail_server() as made:
        tell_operators(monkeypatch, made)
        yield made


def test_what_is_held_is_mailed_with_what_to_do_and_a_link(acme: int, box: Mailbox) -> None:
    name = hold(acme, lines=2)
    notice()

    assert later() == 1

    assert box.subjects == [
        "Koppeling: Acme Opleidingen (acme): 2 changes are held back: More people of one event would be taken out than "
        "its limit."
    ]
    assert box.mails[0]["To"] == OPERATOR
    assert box.mails[0]["Auto-Submitted"] == "auto-generated"
    assert f"https://console.example.org/holds/{name}" in box.text()
    assert "release or refuse it" in box.text()
    assert f'<a href="https://console.example.org/holds/{name}">' in box.text(subtype="html")
    assert "<script" not in box.text(subtype="html")
    assert "src=" not in box.text(subtype="html")


def test_a_command_in_a_mail_is_marked_as_one(acme: int, box: Mailbox) -> None:
    with transaction() as connection:
        open_alert(connection, None, "relay", "stuck", "…", {})
    notice()
    later()

    assert "<code>loop_troubled</code>" in box.text(subtype="html")


def test_without_an_address_of_the_pages_a_mail_names_the_command(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, PUBLIC_URL="")
    name = hold(acme)
    notice()
    later()

    assert f"koppeling holds show {name}" in box.text()


def test_the_same_alert_is_mailed_once_and_once_more_when_it_is_over(acme: int, box: Mailbox) -> None:
    name = hold(acme)
    for _ in range(3):
        notice()
        later()
    assert len(box.mails) == 1

    decide(name)
    notice()
    assert later(120) == 1
    notice()
    assert later(240) == 0

    assert "over: " in box.subjects[-1]
    assert scalar("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


def test_what_is_over_before_it_was_sent_is_not_sent(acme: int, box: Mailbox) -> None:
    name = hold(acme)
    notice()
    decide(name)
    notice()

    assert later() == 0
    assert deliveries() == []


def test_what_comes_up_together_is_one_mail_and_the_next_one_waits_a_minute(acme: int, box: Mailbox) -> None:
    hold(acme, 1)
    hold(acme, 2, event="341")
    notice()
    hold(acme, 3, event="342")
    notice()

    assert later() == 1
    assert box.subjects == ["Koppeling: 3 alerts"]

    hold(acme, 4, event="343")
    notice()
    assert later(30) == 0
    assert later(90) == 1


def test_a_tenant_s_people_are_told_of_their_tenant_alone_in_their_language(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(acme, mail=["beheer@example.nl"], language="nl")
    hold(acme)
    with transaction() as connection:
        open_alert(connection, None, "relay", "stuck", "told by the engine", {})
    notice()
    later()

    mails = {str(one["To"]): str(one["Subject"]) for one in box.mails}
    assert mails[OPERATOR] == "Koppeling: 2 alerts"
    assert mails["beheer@example.nl"].startswith(
        "Koppeling: Acme Opleidingen (acme): 2 wijzigingen worden vastgehouden"
    )
    assert "uitgedeeld" not in "".join(box.text(n) for n, one in enumerate(box.mails) if one["To"] != OPERATOR)


def test_who_is_told_of_all_tenants_gets_one_mail_though_a_tenant_names_them_too(acme: int, box: Mailbox) -> None:
    told(acme, mail=[OPERATOR.upper().replace("EXAMPLE.ORG", "example.org")])
    hold(acme)
    notice()
    later()

    assert len(box.mails) == 1


def test_a_test_environment_is_flagged_in_subject_and_text(acme: int, box: Mailbox) -> None:
    run_sql("""UPDATE tenant SET afas = afas || '{"environment": "test"}'""")
    hold(acme)
    notice()
    later()

    assert box.subjects[0].startswith("[TEST] Koppeling: Acme")
    assert "[TEST] Acme Opleidingen (acme)" in box.text()


def test_what_afas_or_pluvo_said_is_in_no_mail(acme: int, box: Mailbox) -> None:
    words = "enrollments stopped, token_refused: Jan Jansen <jan@example.nl> may not"
    with transaction() as connection:
        told_ = {"direction": "enrollments", "code": "token_refused", "system": "afas"}
        open_alert(connection, acme, "quarantine", "enrollments", words, told_)
        open_alert(connection, acme, "from_before", None, words)
    notice()
    later()

    whole = box.mails[0].as_string() + box.text() + box.text(subtype="html")
    assert "Jan" not in whole
    assert "jan@example.nl" not in whole
    assert "The token is wrong, expired, removed or of another environment." in box.text()


@pytest.mark.parametrize(
    "name",
    [
        "Acme\r\nBcc: victim@example.org",
        "Acme\nSubject: other",
        "Acme\x00\x1b[31m",
        "<script>alert(1)</script>",
        "\u202eemca {{7*7}} %s {0}",
        "é" * 5000,
    ],
)
def test_a_tenant_s_name_can_be_nothing_but_text(acme: int, box: Mailbox, name: str) -> None:
    run_sql("UPDATE tenant SET name = :name", name=name.replace("\x00", ""))
    hold(acme)
    notice()

    assert later() == 1

    assert box.mails[0]["Bcc"] is None
    assert box.tried == [OPERATOR]
    assert len(box.mails[0].get_all("Subject", [])) == 1
    assert str(box.mails[0]["Subject"]).startswith("Koppeling: ")
    assert len(str(box.mails[0]["Subject"])) <= 150
    assert "<script" not in box.text(subtype="html")
    assert "\u202e" not in box.text()


def test_a_recipient_that_is_refused_keeps_nobody_else_from_their_mail(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ALERT_MAIL=f"gone@example.org,{OPERATOR}")
    box.answers["gone@example.org"] = ["550 no such user"]
    hold(acme)
    notice()

    assert later() == 1

    assert [str(one["To"]) for one in box.mails] == [OPERATOR]
    assert deliveries() == [("refused", "smtp_refused", 1), ("sent", None, 1)]
    waited()
    later()
    assert box.tried.count("gone@example.org") == 1


def test_a_server_that_asks_to_come_back_later_is_asked_again(acme: int, box: Mailbox) -> None:
    box.answers[OPERATOR] = ["451 greylisted, try again later"]
    hold(acme)
    notice()

    assert later() == 0
    assert deliveries() == [("waiting", "smtp_later", 1)]
    assert later(30) == 0  # not before its time
    waited()
    assert later() == 1
    assert deliveries() == [("sent", None, 2)]
    assert len(box.mails) == 1


def test_a_mail_that_the_server_refuses_as_a_whole_is_not_tried_for_ever(acme: int, box: Mailbox) -> None:
    box.data_answers = ["554 looks like spam"]
    hold(acme)
    notice()
    later()

    assert deliveries() == [("refused", "smtp_refused", 1)]


def test_a_server_that_is_down_is_asked_once_a_round_and_gets_all_when_it_is_back(
    acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    tell_operators(monkeypatch, Mailbox(port), ALERT_MAIL=f"{OPERATOR},second@example.org")
    hold(acme)
    notice()
    assert later() == 0
    assert deliveries() == [("waiting", "smtp_unreachable", 1), ("waiting", None, 0)]

    with mail_server(port) as box:
        waited()
        assert later() == 2
        assert len(box.mails) == 2


def test_nobody_is_tried_for_ever(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_operators(monkeypatch, Mailbox(free_port()))
    hold(acme)
    notice()
    for _ in range(len(sender.WAITS) + 3):
        waited()
        later()

    assert deliveries() == [("gave_up", "smtp_unreachable", len(sender.WAITS) + 1)]


def test_what_nobody_took_for_a_day_is_no_news(acme: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_operators(monkeypatch, Mailbox(free_port()))
    hold(acme)
    notice()
    run_sql("UPDATE alert_delivery SET created_at = now() - interval '25 hours', next_at = now() - interval '1 hour'")
    plan.news()

    assert deliveries() == [("gave_up", None, 0)]


def test_a_test_waits_for_all_its_mails_also_while_others_send(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ALERT_MAIL=",".join(f"ops{number}@example.org" for number in range(4)))
    over = threading.Event()

    def others() -> None:
        while not over.is_set():
            sender.send_due(Channel.MAIL)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        found = verbs.send_test(at_once=True)
    finally:
        over.set()
        thread.join()

    assert [one["state"] for one in found] == ["sent"] * 4
    assert len(box.mails) == 4


def test_what_stops_for_everybody_at_once_is_one_mail_however_many_tenants_there_are(acme: int, box: Mailbox) -> None:
    run_sql(
        "INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)"
        " SELECT 'customer-' || n, 'Customer ' || n, timezone, interval_seconds, afas, pluvo"
        " FROM tenant, generate_series(1, 149) n"
    )
    run_sql(
        "INSERT INTO alert (tenant_id, kind, subject, text, parameters)"
        """ SELECT id, 'quarantine', 'enrollments', '…', '{"direction": "enrollments", "code": "maintenance"}'"""
        " FROM tenant"
    )
    notice()
    assert later() == 1
    assert box.subjects == ["Koppeling: 150 alerts"]
    assert "and 50 more" in box.text()

    run_sql("UPDATE alert SET closed_at = now()")
    notice()
    assert later(120) == 1
    assert later(240) == 0
    assert box.subjects[1:] == ["Koppeling: 150 alerts"]


# ---------------------------------------------------------------------------------------------------------------- TLS


def test_a_certificate_that_is_not_trusted_gets_neither_password_nor_mail(
    acme: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, known = certificate(tmp_path)
    with mail_server(tls=context, login=True) as box:
        url = f"smtp://koppeling:p%40ss%3Aword@localhost:{box.port}"
        tell_operators(monkeypatch, box, SMTP_URL=url)
        hold(acme)
        notice()
        later()
        assert deliveries() == [("waiting", "smtp_untrusted", 1)]
        assert (box.logins, box.tried) == ([], [])

        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        waited()
        assert later() == 1
        assert box.logins == ["koppeling"]


def test_tls_from_the_start_works_and_is_checked_too(
    acme: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, known = certificate(tmp_path, "mail.example.org")
    with mail_server(tls=context, implicit=True) as box:
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        tell_operators(monkeypatch, box, SMTP_URL=f"smtps://localhost:{box.port}")
        hold(acme)
        notice()
        later()
        assert deliveries() == [("waiting", "smtp_untrusted", 1)]  # known, and of another name

    context, known = certificate(tmp_path)
    with mail_server(tls=context, implicit=True) as box:
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        setting(monkeypatch, SMTP_URL=f"smtps://localhost:{box.port}")
        waited()
        assert later() == 1


def test_starttls_is_demanded(acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, SMTP_URL=f"smtp://127.0.0.1:{box.port}")
    hold(acme)
    notice()
    later()

    assert deliveries() == [("waiting", "smtp_no_tls", 1)]
    assert box.mails == []


def test_a_wrong_password_is_told_as_such(acme: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, known = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(known))
    with mail_server(tls=context, login=True) as box:
        tell_operators(monkeypatch, box, SMTP_URL=f"smtp://koppeling:wrong@localhost:{box.port}")
        hold(acme)
        notice()
        later()

    assert deliveries() == [("waiting", "smtp_login", 1)]


def test_a_server_that_goes_on_slowly_is_cut_off(acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WHOLE_SECONDS", 0.5)
    box.slow_seconds = 5.0
    hold(acme)
    notice()

    assert later() == 0
    assert deliveries() == [("waiting", "smtp_broken", 1)]


def test_a_server_that_greets_without_end_is_cut_off(acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WHOLE_SECONDS", 0.5)
    over = threading.Event()

    def greet(listening: socket.socket) -> None:
        with listening.accept()[0] as caller, suppress(OSError):
            while not over.wait(0.05):
                caller.sendall(b"220-wait\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=greet, args=(listening,))
        thread.start()
        setting(monkeypatch, SMTP_URL=f"smtp+plain://127.0.0.1:{listening.getsockname()[1]}")
        hold(acme)
        notice()
        try:
            assert later() == 0
        finally:
            over.set()
            thread.join()

    assert deliveries() == [("waiting", "smtp_broken", 1)]


# ------------------------------------------------------------------------------------------------- several processes


def child(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ))


def test_two_processes_at_once_send_one_mail(acme: int, box: Mailbox) -> None:
    box.slow_seconds = 0.5
    hold(acme)
    notice()
    run_sql("UPDATE alert_delivery SET next_at = now() - interval '1 second'")

    for process in [child(SEND), child(SEND)]:
        assert process.wait(120) == 0

    assert len(box.mails) == 1
    assert deliveries() == [("sent", None, 1)]


def test_planning_twice_at_once_makes_one_mail(acme: int, box: Mailbox) -> None:
    for number in range(1, 6):
        hold(acme, number, lines=1, event=str(340 + number))
    watch.look()
    threads = [threading.Thread(target=plan.news) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert later() == 1
    assert box.subjects == ["Koppeling: 5 alerts"]


def test_who_is_killed_before_recording_sends_again_under_the_same_message_id(acme: int, box: Mailbox) -> None:
    hold(acme)
    notice()
    run_sql("UPDATE alert_delivery SET next_at = now() - interval '1 second'")
    process = child(SEND)
    box.taken = lambda mail: os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    box.taken = None
    assert len(box.mails) == 1
    assert deliveries() == [("waiting", None, 1)]
    assert later() == 0  # it may still be at it

    waited()
    assert later() == 1

    assert box.mails[0]["Message-ID"] == box.mails[1]["Message-ID"]
    assert deliveries() == [("sent", None, 2)]


def test_the_threads_of_serve_and_scheduler_notice_and_send_by_themselves(acme: int, box: Mailbox) -> None:
    arrived, stopping = threading.Event(), threading.Event()
    box.taken = lambda mail: arrived.set()
    hold(acme)
    # as two processes would: one leads, and either sends
    threads = [*service.start(stopping), *service.start(stopping)]
    try:
        assert arrived.wait(60)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)

    assert len(box.mails) == 1


# --------------------------------------------------------------------------------------------------------- recipients


def test_who_is_no_longer_named_gets_nothing(acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(acme)
    notice()
    setting(monkeypatch, ALERT_MAIL="other@example.org")

    assert later() == 0
    assert deliveries() == [("dropped", "no_recipient", 1)]


def test_a_process_without_a_mail_server_leaves_mails_to_others(
    acme: int, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(acme)
    notice()
    setting(monkeypatch, SMTP_URL="")

    assert later() == 0
    assert deliveries() == [("waiting", None, 0)]


def test_a_tenant_is_removed_beside_its_alerts_without_a_deadlock(acme: int, box: Mailbox) -> None:
    from ops.tenants import manage

    hold(acme)
    notice()
    hold(acme, 2, event="341")
    threads = [threading.Thread(target=notice) for _ in range(3)]
    threads.append(threading.Thread(target=manage.remove, args=("acme",), kwargs={"who": "tester"}))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    notice()
    later()
    assert scalar("SELECT count(*) FROM tenant") == 0
    assert scalar("SELECT count(*) FROM alert") == 0


@pytest.mark.parametrize("act", [verbs.ack, verbs.unmute], ids=["ack", "unmute"])
def test_who_acts_on_an_alert_of_a_tenant_that_is_being_removed_is_told_that_it_is_gone(
    acme: int, act: Callable[[int], object]
) -> None:
    with transaction() as connection:
        open_alert(connection, acme, "no_room", None, "full", {})
    silence = verbs.mute(tenant="acme", kind=None, seconds=3600, reason="they move")["id"]
    number = int(scalar("SELECT id FROM alert")) if act is verbs.ack else silence
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with transaction() as removing:
            removing.execute(text("SELECT id FROM tenant WHERE id = :id FOR UPDATE"), {"id": acme})
            acting = pool.submit(act, number)
            while not removing.execute(text(waits)).scalar():
                assert not acting.done(), acting.exception()
                removing.execute(text("SELECT pg_stat_clear_snapshot()"))
            for table in ("operator_action", "alert", "alert_mute"):
                removing.execute(text(f"DELETE FROM {table} WHERE tenant_id = :id"), {"id": acme})
            removing.execute(text("DELETE FROM tenant WHERE id = :id"), {"id": acme})
        assert isinstance(acting.exception(timeout=60), NotThere)


def comes_and_goes(tenant: int) -> None:
    """A direction stops, is told of, works again, and that is told of."""
    about = {"direction": "enrollments", "code": "token_refused", "system": "afas"}
    with transaction() as connection:
        open_alert(connection, tenant, "quarantine", "enrollments", "stopped", about)
    tell()
    with transaction() as connection:
        close_alert(connection, tenant, "quarantine", "enrollments")
    tell()


def tell(hours: float = 0) -> None:
    """Mail what is new so much later."""
    plan.news(datetime.now(UTC) + timedelta(hours=hours))
    waited()
    later()


def ends(box: Mailbox) -> list[bool]:
    """Of each mail whether it tells that something is over."""
    return [subject.startswith("Koppeling: Acme Opleidingen (acme): over") for subject in box.subjects]


def test_what_opens_again_another_day_is_mailed_each_time(acme: int, box: Mailbox) -> None:
    for _ in range(3):
        comes_and_goes(acme)
        run_sql(
            "UPDATE alert SET opened_at = opened_at - interval '5 hours', closed_at = closed_at - interval '5 hours'"
        )

    assert ends(box) == [False, True] * 3


def test_what_comes_and_goes_is_mailed_twice_and_then_once_it_stays_over(acme: int, box: Mailbox) -> None:
    for _ in range(5):
        comes_and_goes(acme)
    assert ends(box) == [False, True, False]
    assert "It comes and goes" not in box.text(0)
    assert "It comes and goes" in box.text(2)

    tell(hours=3.9)
    assert len(box.mails) == 3
    for _ in range(2):
        tell(hours=4.1)
    assert ends(box) == [False, True, False, True]


def test_what_stays_after_it_came_and_went_is_not_told_as_over(acme: int, box: Mailbox) -> None:
    for _ in range(3):
        comes_and_goes(acme)
    with transaction() as connection:
        open_alert(connection, acme, "quarantine", "enrollments", "stopped", {"direction": "enrollments"})
    for hours in range(0, 48, 2):
        tell(hours)

    assert ends(box) == [False, True, False]


def test_what_comes_and_goes_holds_back_nothing_else(acme: int, box: Mailbox) -> None:
    for _ in range(3):
        comes_and_goes(acme)
    name = hold(acme)
    notice()
    tell()
    decide(name)
    notice()
    tell()

    assert ends(box) == [False, True, False, False, True]


def test_mails_are_the_only_thing_that_waits_for_a_mail_server(acme: int, box: Mailbox) -> None:
    """No transaction is open while a mail is on its way."""
    seen: list[int] = []
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    box.taken = lambda mail: seen.append(int(scalar(idle)))
    hold(acme)
    notice()

    assert later() == 1
    assert seen == [0]
    assert sender.send_due(Channel.WEBHOOK) == 0
