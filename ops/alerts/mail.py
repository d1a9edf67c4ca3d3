"""One mail to one recipient by SMTP. It takes no longer than half a minute, whatever the server does.

``smtps://`` is TLS from the start, ``smtp://`` demands STARTTLS, ``smtp+plain://`` is for a server beside us and sends
no password. The server's certificate is checked.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

from clients.http.deadlines import Deadlines

STEP_SECONDS = 10.0
WHOLE_SECONDS = 30.0
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}
_deadlines = Deadlines()


class Undelivered(Exception):
    """It was not taken. ``final``: it never will be; ``of_server``: the next one would not be either."""

    def __init__(self, code: str, *, final: bool = False, of_server: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.final = final
        self.of_server = of_server


@dataclass(frozen=True)
class Server:
    """A mail server, as ``KOPPELING_SMTP_URL`` says it."""

    kind: str
    host: str
    port: int
    user: str = ""
    password: str = field(repr=False, default="")

    @classmethod
    def of(cls, url: str) -> Server:
        """Read the setting, which was checked."""
        found = urlsplit(url)
        return cls(
            found.scheme,
            found.hostname or "",
            found.port or _PORTS[found.scheme],
            unquote(found.username or ""),
            unquote(found.password or ""),
        )


def send(server: Server, mail: EmailMessage) -> None:
    """Hand a mail to the server. Raises Undelivered."""
    with _told_as_ours(), _connected(server) as open_:
        if server.user:
            open_.login(server.user, server.password)
        # The text was made for it: nothing that could be read as a command.
        open_.send_message(mail)


def look(server: Server) -> None:
    """Greet the server and log in, sending nothing. Raises Undelivered."""
    with _told_as_ours(), _connected(server) as open_:
        if server.user:
            open_.login(server.user, server.password)


class _Within(smtplib.SMTP):
    """A connection that is cut under whoever waits for it, ``WHOLE_SECONDS`` after it was begun."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        _deadlines.add(self.cut, WHOLE_SECONDS)
        try:
            return super().connect(host, port, source_address)
        except BaseException:
            self.close()
            raise

    def cut(self) -> None:
        """End it, from another thread."""
        found = getattr(self, "sock", None)
        if found is not None:
            with suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def close(self) -> None:
        _deadlines.remove(self.cut)
        super().close()


class _WithinTls(_Within, smtplib.SMTP_SSL):
    """The same, with TLS from the start."""


@contextmanager
def _connected(server: Server) -> Iterator[smtplib.SMTP]:
    context, name = ssl.create_default_context(), socket.gethostname()
    open_: smtplib.SMTP
    if server.kind == "smtps":
        open_ = _WithinTls(server.host, server.port, name, timeout=STEP_SECONDS, context=context)
    else:
        open_ = _Within(server.host, server.port, name, timeout=STEP_SECONDS)
    try:
        if server.kind == "smtp":
            open_.starttls(context=context)
        yield open_
        with suppress(smtplib.SMTPException, OSError):
            open_.quit()
    finally:
        open_.close()


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise Undelivered("smtp_untrusted", of_server=True) from None
    except smtplib.SMTPNotSupportedError as error:
        # Also where the server knows no way of logging in, or not all signs of an address.
        code = "smtp_no_tls" if "STARTTLS" in str(error) else "smtp_refused"
        raise Undelivered(code, of_server=code == "smtp_no_tls", final=code == "smtp_refused") from None
    except smtplib.SMTPAuthenticationError:
        raise Undelivered("smtp_login", of_server=True) from None
    except smtplib.SMTPRecipientsRefused as error:
        refused = all(code >= 500 for code, _ in error.recipients.values())
        raise Undelivered("smtp_refused" if refused else "smtp_later", final=refused) from None
    except smtplib.SMTPSenderRefused as error:
        raise Undelivered("smtp_sender" if error.smtp_code >= 500 else "smtp_later", of_server=True) from None
    except smtplib.SMTPDataError as error:
        refused = error.smtp_code >= 500
        raise Undelivered("smtp_refused" if refused else "smtp_later", final=refused) from None
    except (smtplib.SMTPServerDisconnected, ssl.SSLError, TimeoutError):
        raise Undelivered("smtp_broken", of_server=True) from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered("smtp_later" if error.smtp_code < 500 else "smtp_broken", of_server=True) from None
    except (smtplib.SMTPException, OSError, UnicodeError):
        raise Undelivered("smtp_unreachable", of_server=True) from None
