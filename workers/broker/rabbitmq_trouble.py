"""What is the matter with RabbitMQ: does it pass, or must somebody change the settings? One sentence says what.

Like tenancy/redis_trouble.py, and asked at the same moments.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pika
from pika import exceptions

from settings import SettingsError
from tenancy.server_trouble import Trouble, speaks_plainly, speaks_tls
from workers.broker.carrier import RabbitTrouble
from workers.broker.rabbitmq_address import VARIABLE, read
from workers.broker.rabbitmq_carrier import RabbitCarrier

# A plain port answers a version that there never was with its own, which begins with an A.
_HELLO = b"AMQP\x00\x00\x09\x00"


def look(url: str) -> Trouble | None:
    """What is in the way of working with this RabbitMQ; None when nothing is."""
    try:
        parameters = read(url)
        carrier = RabbitCarrier(url)
    except SettingsError as error:
        return Trouble("settings", str(error))
    try:
        carrier.try_all()
    except RabbitTrouble as trouble:
        return _why(trouble.__cause__ or trouble, parameters)
    finally:
        carrier.close()
    return None


def _why(error: BaseException, parameters: pika.ConnectionParameters) -> Trouble:
    said = _words(error)
    where = f"{parameters.host}:{parameters.port}"
    tls = parameters.ssl_options is not None
    text = None
    if _is(error, exceptions.ProbableAuthenticationError, exceptions.AuthenticationError) or "ACCESS_REFUSED" in said:
        if "access to" in said:
            return Trouble(
                "rights", f"The user of {VARIABLE} needs rights on what begins with koppeling (docs/deployment.md)."
            )
        return Trouble("login", f"RabbitMQ refuses this user: check {VARIABLE}.")
    if _is(error, exceptions.ProbableAccessDeniedError) or "NOT_ALLOWED" in said:
        text = (
            f"RabbitMQ has no such vhost, or does not let this user into it: check what follows the host in {VARIABLE}."
        )
    elif "PRECONDITION_FAILED" in said:
        text = "A queue of ours is there in another form: delete those whose names begin with koppeling in RabbitMQ."
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        text = f"RabbitMQ's certificate is not trusted: add ?ssl_ca_certs=/path/ca.pem to {VARIABLE}, or name its host."
    else:
        with suppress(OSError):
            if tls and speaks_plainly(parameters.host, parameters.port, _HELLO, b"A"):
                text = f"RabbitMQ speaks no TLS at {where}: write amqp:// or the port for TLS in {VARIABLE}."
            if not tls and speaks_tls(parameters.host, parameters.port):
                text = f"RabbitMQ speaks TLS at {where}: write amqps:// in {VARIABLE}."
    if text:
        return Trouble("settings", text)
    full = _is(error, exceptions.ConnectionBlockedTimeout)
    return (
        Trouble("full", "RabbitMQ is short of memory or disk") if full else Trouble("unreachable", type(error).__name__)
    )


def _all(error: BaseException) -> list[BaseException]:
    """The error, and what pika packed into it."""
    found: list[BaseException] = [error]
    inner: list[Any] = [*error.args, *getattr(error, "exceptions", ()), error.__cause__]
    for one in inner:
        if isinstance(one, BaseException):
            found += _all(one)
    return found


def _is(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in _all(error))


def _words(error: BaseException) -> str:
    return " ".join(map(repr, _all(error)))
