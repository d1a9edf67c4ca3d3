"""Send one GraphQL document and bring back its answer: token, rate limit, and what the live schema lacks.

Two things are repeated here, each because nothing can have happened the first time: a call whose token was refused
(once, with a new token), and a document the server refused for a name it does not know (without that name).

A refusal may be about the token as well as about a record that our client may not touch. A cheap question that any
good token may ask settles which: what is refused to a token that works is about the record.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from clients.errors import PLUVO, NoPlace, Rejected, RemoteError, Unauthorized, Unavailable
from clients.http import Call, Http, Response, TokenCache, clean, parse_retry_after
from clients.pluvo.answer import Answer, read_answer
from clients.pluvo.combiner import Combiner
from clients.pluvo.errors import NOT_FOUND, OPERATION_MISSING, from_status
from clients.pluvo.operations import (
    OPTIONAL_SELECTIONS,
    PERSONAL,
    Document,
    Operation,
    Refused,
    Step,
    can_spare,
    compose,
)

SCOPES = (
    "users.read",
    "users.write",
    "trainings.read",
    "groups.read",
    "groups.write",
    "events.read",
    "events.write",
)
_CREDENTIALS_REFUSED = {400: "credentials_refused", 401: "credentials_refused", 403: "not_permitted"}
_NOT_UNDERSTOOD = ("operation_refused", "refused")
MAX_BYTES = 20_000_000
NOBODY = "afas:check:0"  # a ref that no account has
PROVEN_SECONDS = 300.0


class SchemaMemory:
    """What a live schema turned out to lack. Share one between clients of the same organisation."""

    def __init__(self) -> None:
        self.refused: Refused = frozenset()
        # A token that was seen to work in spite of a refusal, and until when that is believed (monotonic clock)
        self.proven: tuple[str, float] = ("", 0.0)


# What waits: whether a call was made before, and what to call when there is a place.
WaitForPlace = Callable[[bool, Callable[[], None] | None], object]


def _at_once(begun: bool, look: Callable[[], None] | None) -> None:
    """Without a limit."""
    if look:
        look()


class PluvoTransport:
    """One organisation's line. Safe to use from many threads.

    ``at_its_place()`` is called when a call has its place, before it is taken, and may raise.
    """

    at_its_place: Callable[[], None] | None = None

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        *,
        operations: Mapping[str, Operation],
        wait_for_rate_limit: WaitForPlace | None = None,
        on_call: Callable[[Call], None] | None = None,
        read_timeout: float = 30,
        tokens: TokenCache | None = None,
        memory: SchemaMemory | None = None,
        combiner: Combiner | None = None,
    ) -> None:
        self._begun = False
        self._heard_by = on_call
        self._http = Http(base_url, system=PLUVO, read_timeout=read_timeout, max_bytes=MAX_BYTES, on_call=self._hear)
        self._credentials = (client_id, client_secret)
        self._tokens = tokens or TokenCache.shared(base_url, client_id, client_secret)
        self._wait_for_rate_limit = wait_for_rate_limit or _at_once
        self.operations = operations
        self._memory = memory or SchemaMemory()
        self._combiner = combiner

    @property
    def refused(self) -> Refused:
        """What the schema lacks, as far as known."""
        return self._memory.refused

    @refused.setter
    def refused(self, names: Refused) -> None:
        self._memory.refused = names

    def run(self, name: str, *steps: Step) -> Answer:
        """Send the steps as one document called ``name``; makes no call when no step has anything to say.

        With a combiner, what other callers want at this moment may go along in it.
        Raises what ``clients.http.call`` and the token endpoint raise. What the answer itself says is raised by
        ``Answer.get``, per step.
        """
        if self._combiner is None:
            return self.run_alone(name, steps)
        document = compose(name, steps, self.operations, self.refused)
        if not document.text:
            return Answer(document)
        try:
            return self._combiner.run(self, name, steps, document)
        except NoPlace:
            if not self._begun:
                raise
            return self.run_alone(name, steps)  # in this thread, which may wait longer

    def run_alone(self, name: str, steps: Sequence[Step], token: str = "") -> Answer:
        """Send the steps as a document of their own; ``token`` as for ``send``."""
        return self._without_all(name, steps, self.ask(name, steps, token))

    def ask(self, name: str, steps: Sequence[Step], token: str = "") -> Answer:
        """Send the steps as one document, again without a name that the schema lacks; ``token`` as for ``send``."""
        while True:
            document = compose(name, steps, self.operations, self.refused)
            if not document.text:
                return Answer(document)
            answer = self.send(document, token)
            learned = self._learn(answer)
            if not learned:
                return answer
            self.refused |= learned
            token = ""

    def wait_for_place(self) -> str:
        """Wait for a token and a place under the rate limit; gives the token."""
        token = self._tokens.get(self.fetch_token)
        self._wait_for_rate_limit(self._begun, self.at_its_place)
        return token

    def heard_by(
        self, on_call: Callable[[Call], None], at_its_place: Callable[[], None] | None = None
    ) -> PluvoTransport:
        """The same line, for a call of its own of which another one hears."""
        other = copy(self)
        other._http = copy(self._http)
        other._http.on_call = on_call
        other._begun = False
        other.at_its_place = at_its_place
        return other

    def on_call(self, call: Call) -> None:
        """Tell who listens of a call that was made."""
        self._http.on_call(call)

    def _hear(self, call: Call) -> None:
        self._begun = self._begun or not call.token
        if self._heard_by:
            self._heard_by(call)

    def _without_all(self, name: str, steps: Sequence[Step], answer: Answer) -> Answer:
        """Try a document that the server refused without saying for which name, once, without all that can be spared.

        An operation that the schema lacks, and that the rest works without, is the fault of those who need it only.
        """
        if not answer.unread or answer.whole is None:
            return answer
        says_nothing = not re.search("[\"'`$]", answer.whole.remote_text) and answer.whole.code in _NOT_UNDERSTOOD
        if says_nothing and not answer.unknown_names and (answer.status == 400 or answer.whole.code != "refused"):
            spare = can_spare(answer.document, self.operations) - self.refused
            document = compose(name, steps, self.operations, self.refused | spare)
            if spare and document.text and not (second := self.send(document)).unread:
                self.refused |= spare
                return second
        lacking = {found for _, found in answer.unknown_names}
        used = [self.operations[operation] for operation in answer.document.steps.values()]
        gone = [operation.root for operation in used if operation.spare and operation.root in lacking]
        if not gone:
            return answer
        error = Rejected(
            OPERATION_MISSING,
            f"This Pluvo does not know {gone[0]} (see `koppeling check`).",
            system=PLUVO,
            status=answer.status,
            remote_text=answer.whole.remote_text,
        )
        return replace(answer, whole=error)

    def send(self, document: Document, token: str = "") -> Answer:
        """Send one document, a second time with a new token when the first was refused.

        ``token``: one with which a place was waited for already.
        """
        for last in (False, True):
            token = token or self.wait_for_place()
            answer = self._exchange(document, token)
            if answer.doubtful and answer.auth_refused and self._works(token):
                return answer.for_record()
            if last or not answer.auth_refused:
                break
            self._tokens.drop(token)
            token = ""
        return answer

    def _works(self, token: str) -> bool:
        """Tell whether Pluvo takes a token: whoever is refused this is refused everything. Raises what is no answer."""
        if self._memory.proven[0] == token and time.monotonic() < self._memory.proven[1]:
            return True
        self._wait_for_rate_limit(True, None)
        nobody = [Step("nobody", "user", {"ref": NOBODY})]
        # A name that this schema lacks would say nothing about the token.
        spare = can_spare(compose("tokenCheck", nobody, self.operations), self.operations)
        answer = self._exchange(compose("tokenCheck", nobody, self.operations, spare), token)
        errors = [*answer.fields.values(), *([answer.whole] if answer.whole else [])]
        for error in errors:
            if isinstance(error, Unavailable):
                raise error
        works = answer.whole is None or answer.whole.code == NOT_FOUND
        works = works and not any(isinstance(error, Unauthorized) for error in errors)
        if works:
            self._memory.proven = (token, time.monotonic() + PROVEN_SECONDS)
        return works

    def fetch_token(self) -> Mapping[str, object]:
        """Ask for a new token, e.g. ``{"access_token": "9f2c…", "expires_in": 86400, "scope": "users.read …"}``."""
        client_id, client_secret = self._credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": " ".join(SCOPES),
        }
        response = self._http.request(
            "POST",
            "/oauth/token/",
            data=form,
            operation="token",
            writes=False,
            token=True,
            classify=self._classify_token,
        )
        answer: Mapping[str, object] = response.json()
        return answer

    def _exchange(self, document: Document, token: str) -> Answer:
        answers: list[Answer] = []

        def classify(response: Response) -> RemoteError | None:
            answers.append(read_answer(response, document, secrets=self._secrets(document.variables, token)))
            return answers[-1].error

        body = {"query": document.text, "variables": document.variables, "operationName": document.name}
        try:
            self._http.request(
                "POST",
                "/graphql/",
                json=body,
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                operation=document.name,
                writes=document.kind == "mutation",
                classify=classify,
            )
        except RemoteError:
            if not answers:  # the call itself broke; else the answer says it, per step
                raise
        return answers[-1]

    def _learn(self, answer: Answer) -> Refused:
        """Find what the schema lacks that we can do without. Validation precedes execution: nothing happened."""
        found: set[tuple[str, str]] = set()
        for kind, name in answer.unknown_names:
            selected = {("", name)} if name in OPTIONAL_SELECTIONS else set()
            used = answer.document.steps.values()
            given = {(operation, name) for operation in used if name in self.operations[operation].optional}
            given &= can_spare(answer.document, self.operations)  # it may be both; what was not sent is not meant
            if kind == "selection":
                found |= selected
            elif kind == "argument":
                found |= given
            else:
                found |= given - self.refused or selected
        return frozenset(found) - self.refused

    def _classify_token(self, response: Response) -> RemoteError | None:
        text = clean(response.text, secrets=self._credentials)
        if response.status in _CREDENTIALS_REFUSED:
            code = "scope_refused" if "scope" in text else _CREDENTIALS_REFUSED[response.status]
            message = "Pluvo gives no token for this client id, secret and scopes."
            return Unauthorized(code, message, system=PLUVO, status=response.status, remote_text=text)
        try:
            fits = response.ok and isinstance(response.json(), dict)
        except ValueError:
            fits = False
        if fits:
            return None
        error = from_status(response, writes=False, secrets=self._credentials)
        if isinstance(error, Rejected):  # no record is at fault here
            wait = parse_retry_after(response.headers)
            return Unavailable(
                error.code, error.message, system=PLUVO, status=response.status, retry_after_seconds=wait
            )
        return error

    def _secrets(self, variables: Mapping[str, Any], token: str) -> Iterable[str]:
        """List what must be masked in what Pluvo says: credentials and the personal values this call sent."""
        sent = [str(value) for name, value in variables.items() if name.split("_")[0] in PERSONAL]
        return [token, *self._credentials, *sent]
