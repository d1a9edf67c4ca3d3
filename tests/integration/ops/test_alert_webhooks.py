"""Alerts as signed calls, to a real receiver."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest

from models.alert import Channel
from models.session import session
from models.tenant import Tenant
from ops.alerts import sender, webhook
from ops.alerts.mail import Undelivered
from tests.fixtures.mailbox import Receiver, receiver
from tests.integration.ops.alerting import decide, deliveries, hold, notice, setting, told, waited
from tests.integration.ops.conftest import run_sql

SECRET = "whsec-of-the-operators"


@pytest.fixture
def hook(acme: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the operators named."""
    with receiver() as made:
        setting(monkeypatch, ALERT_WEBHOOK=made.url, ALERT_WEBHOOK_SECRET=SECRET, ALERT_LANGUAGE="en")
        yield made


def send() -> int:
    return sender.send_due(Channel.WEBHOOK)


def signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it."""
    at, _, given = headers["Koppeling-Signature"].removeprefix("t=").partition(",v1=")
    wanted = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, given)


def test_a_call_is_signed_and_tells_codes_numbers_and_a_sentence(acme: int, hook: Receiver) -> None:
    name = hold(acme)
    notice()
    assert send() == 1
    decide(name)
    notice()
    assert send() == 1

    headers, body = hook.calls[0]
    assert signed(SECRET, headers, body)
    assert not signed("another", headers, body)
    [alert] = json.loads(body)["alerts"]
    assert (alert["event"], alert["tenant"], alert["kind"], alert["subject"]) == ("opened", "acme", "hold", name)
    assert alert["text"].startswith("2 changes are held back")
    assert alert["closed_at"] is None
    [over] = json.loads(hook.calls[1][1])["alerts"]
    assert (over["event"], over["alert"]) == ("resolved", alert["alert"])


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (500, "waiting", "webhook_later"),
        (429, "waiting", "webhook_later"),
        (404, "refused", "webhook_refused"),
        (401, "refused", "webhook_refused"),
        (302, "waiting", "webhook_refused"),
    ],
)
def test_what_a_receiver_answers_decides_whether_it_is_tried_again(
    acme: int, hook: Receiver, status: int, state: str, code: str
) -> None:
    hook.statuses = [status]
    hold(acme)
    notice()

    assert send() == 0
    assert deliveries() == [(state, code, 1)]
    waited()
    assert send() == (state == "waiting")
    numbers = {headers["Koppeling-Delivery"] for headers, _ in hook.calls}
    assert len(numbers) == 1


def test_news_reach_a_receiver_in_their_order(acme: int, hook: Receiver) -> None:
    hook.statuses = [503]
    name = hold(acme)
    notice()
    send()
    decide(name)
    notice()
    assert send() == 0  # the first one waits, so does what follows it

    waited()
    assert send() == 2
    events = [json.loads(body)["alerts"][0]["event"] for _, body in hook.calls]
    assert events == ["opened", "opened", "resolved"]


def test_a_receiver_that_goes_on_slowly_is_cut_off(acme: int, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WHOLE_SECONDS", 0.5)
    hook.drip_seconds = 0.05
    hold(acme)
    notice()

    assert send() == 0
    assert deliveries() == [("waiting", "webhook_unreachable", 1)]


def test_a_tenant_s_calls_are_signed_with_its_own_secret(acme: int) -> None:
    with receiver() as made:
        told(acme, webhook=made.url)
        hold(acme)
        notice()
        assert send() == 0
        assert deliveries() == [("waiting", "no_secret", 1)]

        with session() as opened:
            opened.get_one(Tenant, acme).alerts_secret = "of-acme"
        waited()
        assert send() == 1
        assert signed("of-acme", *made.calls[0])


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "http://example.org/x"]
)
def test_no_private_address_is_called_unless_that_is_allowed(
    acme: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ALLOW_INSECURE_URLS="0")

    with pytest.raises(Undelivered) as caught:
        webhook.send(url, b"{}", "secret", {})

    assert (caught.value.code, caught.value.final) == ("webhook_private", True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:10.0.0.1", False),
        # 169.254.169.254 and 10.0.0.1 behind a translator, then an address that everybody may call
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a00:1::1", False),
        ("64:ff9b::5db8:d822", True),
        ("::10.0.0.1", False),
        ("fec0::1", False),
        ("ff0e::1", False),
        ("fe80::1%eth0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("2606:2800:220:1::1", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert webhook._is_public(address) is public


def test_a_receiver_that_is_not_there_is_asked_again(
    acme: int, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ALERT_WEBHOOK="http://127.0.0.1:9/x")
    hold(acme)
    notice()

    assert send() == 0
    assert deliveries() == [("waiting", "webhook_unreachable", 1)]
    run_sql("UPDATE alert_delivery SET next_at = now()")
    assert hook.calls == []
