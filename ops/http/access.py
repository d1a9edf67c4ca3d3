"""Who asks, and whether the request is meant: the outermost layer, before anything else sees a request.

What ``up`` and ``demo`` bind to this machine alone knows everybody as ``local``; a page of somebody else's that a
browser here was led to is refused. Everywhere else it is a session's cookie or a bearer token, and whatever changes
something must come from a page of ours, unless a token is shown. Health and webhooks look after themselves.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from anyio import to_thread
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import settings
from models.role import Role
from ops import access, logins, tokens
from ops.access import NOBODY, Actor
from ops.http.api import answers
from ops.language import Language, say
from ops.logins import Browser, Known

# Look after themselves; asked by machines.
OPEN = ("/healthz", "/readyz", "/webhooks/")
# For who has not logged in: the way in, and what its page needs.
WAY_IN = ("/login", "/settings/look")
LOCAL = Actor("local", Role.ADMIN)
SAFE = ("GET", "HEAD", "OPTIONS")
# What a proxy adds: then whoever asks is not on this machine.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
# Of a session, and of a login that is under way at an issuer.
SESSION, LOGIN = "koppeling", "koppeling-login"
# An address that a login leads back to.
LONGEST_NEXT = 2000
# Who asks, with their session, or None; and what is answered instead.
Judged = tuple[tuple[Actor, Known | None] | None, Response | None]
# What is left of the body is not read.
CLOSE = {"Connection": "close"}
STRANGERS_BYTES, MAX_BYTES = 64 * 1024, 64 * 1024 * 1024


@dataclass(frozen=True)
class Asked:
    """The head of a request, as far as it matters here."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    scheme: str
    peer: str
    version: str = "1.1"

    @classmethod
    def of(cls, scope: Scope) -> Asked:
        """Read it; of a header that comes twice the first counts, but of a list that is all of it."""
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name, told = raw.decode("latin-1").lower(), value.decode("latin-1")
            if name == "x-forwarded-for" and name in headers:  # HAProxy adds a line below the one that a browser sent
                headers[name] += f", {told}"
            headers.setdefault(name, told)
        peer = scope["client"][0] if scope.get("client") else ""
        return cls(
            scope["method"],
            scope["path"],
            scope.get("query_string", b"").decode("latin-1"),
            headers,
            scope.get("scheme", "http"),
            peer,
            scope.get("http_version", "1.1"),
        )

    @property
    def host(self) -> str:
        """The name it was sent to, with its port."""
        return self.headers.get("host", "")

    @property
    def public(self) -> bool:
        """Whether it was sent to KOPPELING_PUBLIC_URL."""
        own = settings.get().public_url
        return own is not None and urlsplit(own).netloc.lower() == self.host.lower()

    @property
    def secure(self) -> bool:
        """Whether the browser speaks TLS, with us or with the proxy in front."""
        return self.scheme == "https" or (self.public and (settings.get().public_url or "").startswith("https://"))

    @property
    def address(self) -> str:
        """Whose address it came from: behind a proxy of ours what that proxy saw, which is the last it names."""
        told = self.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if told and settings.get().public_url and is_near(self.peer):
            return told
        return self.peer

    @property
    def language(self) -> Language:
        """What they like to read; English where nothing is said."""
        return answers.liked(self.headers.get("accept-language", ""))

    @property
    def browser(self) -> Browser:
        """For the row of a session."""
        return Browser(self.address, self.headers.get("user-agent", ""))

    def cookie(self, which: str = SESSION) -> str | None:
        """The session's, or another of ours."""
        wanted = cookie_name(self, which)
        for part in self.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == wanted:
                return value
        return None


class Access:
    """Sets the actor of every request. Without ``login`` only this machine's users can ask."""

    def __init__(self, app: ASGIApp, *, login: bool) -> None:
        self.app = app
        self.login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # For all of the request, also for what shows an error after everything else was left.
        access.let_act(NOBODY)
        if scope["path"].startswith(OPEN):
            await self.app(scope, receive, send)
            return
        asked = Asked.of(scope)
        found, answer = await to_thread.run_sync(self._judge, asked)
        if answer is not None:
            await answer(scope, receive, send)
            return
        stranger = found is None
        if found is not None:
            actor, known = found
            access.let_act(actor)
            scope["koppeling"] = known
        most = STRANGERS_BYTES if stranger else MAX_BYTES

        def too_large() -> Response:
            return _said(asked, "too_large", 413, CLOSE, most=most)

        await _bounded(self.app, scope, receive, send, most=most, too_large=too_large)

    def _judge(self, asked: Asked) -> Judged:
        """Who asks, or what is answered instead; neither of both for who is on the way in."""
        kind, _, value = asked.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _shown(_by_token(value.strip()), asked)
        foreign = None if self.login else _not_from_here(asked)
        if foreign or not _is_meant(asked):
            return None, _said(asked, foreign or "foreign_page", 403)
        if not self.login:
            return (LOCAL, None), None
        return _shown(_by_basic(value), asked) if kind.lower() == "basic" else _by_cookie(asked)


def _shown(actor: Actor | None, asked: Asked) -> Judged:
    """Who shows a token that is right; who shows a wrong one is nobody, whatever else they show."""
    return ((actor, None), None) if actor else (None, _no_login(asked))


def _by_cookie(asked: Asked) -> Judged:
    cookie = asked.cookie()
    known = logins.known(cookie) if cookie else None
    if known is not None:
        return (known.actor, known), None
    return None, None if is_way_in(asked.path) else _no_login(asked)


def is_way_in(path: str) -> bool:
    """Whether a path is for who has not logged in."""
    return path in WAY_IN or path.startswith(("/login/", "/static/"))


def _by_token(value: str) -> Actor | None:
    if value.startswith(tokens.BEGIN):
        return tokens.actor_of(value)
    return logins.TOKEN_USER if _is_login_token(value) else None


def _by_basic(value: str) -> Actor | None:
    """The login token as the password of any user."""
    try:
        password = base64.b64decode(value, validate=True).partition(b":")[2].decode()
    except (binascii.Error, ValueError):
        return None
    return logins.TOKEN_USER if _is_login_token(password) else None


def _is_login_token(value: str) -> bool:
    token = settings.get().login_token
    return bool(token) and hmac.compare_digest(value.encode(errors="replace"), str(token).encode())


def _not_from_here(asked: Asked) -> str | None:
    """Why a request to the address of this machine alone is not one of its user's."""
    try:
        name = urlsplit(f"//{asked.host}").hostname or ""
        page = urlsplit(asked.headers.get("origin") or asked.headers.get("referer", "")).netloc
    except ValueError:  # no addresses at all
        return "other_address"
    if not (is_loopback(name) or name.endswith(".localhost")):
        return "other_address"  # a page elsewhere whose name was made to lead here would read everything
    # As nginx sends a request on that was told no more than where to: by HTTP/1.0, which no browser speaks, or to this
    # address from a page whose own address is another.
    elsewhere = asked.headers.get("sec-fetch-site") == "same-origin" and page not in ("", asked.host)
    by_proxy = elsewhere or asked.version == "1.0" or any(header in asked.headers for header in FORWARDED)
    return "proxy" if by_proxy else None


def _is_meant(asked: Asked) -> bool:
    """Whether whatever changes something was sent by a page of ours, as the browser itself tells."""
    if asked.method in SAFE:
        return True
    site = asked.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = asked.headers.get("origin", "")
    own = settings.get().public_url
    if asked.public and own:
        return origin.lower() == f"{urlsplit(own).scheme}://{urlsplit(own).netloc}".lower()
    return bool(asked.host) and origin.lower() == f"{asked.scheme}://{asked.host}".lower()


def _no_login(asked: Asked) -> Response:
    """To the page that asks for it where somebody looks; a status for everything else."""
    if asked.method in ("GET", "HEAD") and "text/html" in asked.headers.get("accept", ""):
        to = asked.path + (f"?{asked.query}" if asked.query else "")
        plain = to == "/" or len(to) > LONGEST_NEXT
        return RedirectResponse("/login" if plain else f"/login?next={quote(to, safe='/')}", 303)
    kinds = ['Bearer realm="koppeling"']
    if not any(name.startswith("sec-fetch-") for name in asked.headers):  # a browser would ask in a window of its own
        kinds.append('Basic realm="koppeling", charset="UTF-8"')
    return _said(asked, "no_login", 401, {"WWW-Authenticate": ", ".join(kinds)})


def _said(asked: Asked, code: str, status: int, headers: Mapping[str, str] | None = None, **params: object) -> Response:
    """A line, or to callers of the API a document of theirs."""
    language = asked.language
    answer: Response
    if asked.path.startswith("/api/"):
        answer = answers.failed(code, status, language, **params)
    else:
        answer = PlainTextResponse(f"{say(f'api.{code}', language, **params)}\n", status)
    answer.headers.update(headers or {})
    return answer


class _TooLarge(Exception):
    """More of a body than is taken."""


async def _bounded(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, most: int, too_large: Callable[[], Response]
) -> None:
    """Serve a request whose body is read up to a size; ``too_large`` makes the answer to a larger one."""
    taken, begun = 0, False

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise _TooLarge
        return message

    async def sending(message: Message) -> None:
        nonlocal begun
        if begun or taken <= most:  # what reads a form makes an answer of its own of any error
            begun = True
            await send(message)

    with suppress(_TooLarge):
        await app(scope, receiving, sending)
    if taken > most and not begun:
        await too_large()(scope, receive, send)


# ----------------------------------------------------------------------------------------------------- for the pages


def asked_of(request: Request) -> Asked:
    """The head of a page's request."""
    return Asked.of(request.scope)


def known_of(request: Request) -> Known | None:
    """Whose session it is; None for ``local``, for a token, and for who has not logged in."""
    found = request.scope.get("koppeling")
    return found if isinstance(found, Known) else None


def cookie_name(asked: Asked, which: str = SESSION) -> str:
    """With TLS a name that browsers take from this host alone."""
    return f"__Host-{which}" if asked.secure else which


def give_cookie(answer: Response, asked: Asked, value: str, which: str = SESSION) -> None:
    """Hand it out: not readable by scripts, not sent along from elsewhere. It ends where its row does."""
    answer.set_cookie(
        cookie_name(asked, which),
        value,
        max_age=int(logins.LASTS.total_seconds()),
        path="/",
        secure=asked.secure,
        httponly=True,
        samesite="lax",
    )


def take_cookie(answer: Response, asked: Asked, which: str = SESSION) -> None:
    """Take it back."""
    answer.delete_cookie(cookie_name(asked, which), path="/", secure=asked.secure, httponly=True, samesite="lax")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name other than localhost could be anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_near(address: str) -> bool:
    """Whether an address is of this machine or of a private network, as that of a proxy in front is."""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False
