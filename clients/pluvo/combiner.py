"""Let callers who want something of one Pluvo at the same moment go out as one document, and answer each for itself.

Whoever comes first waits a moment for others (longer while a call is under way, until it ends at most), and all of them
for their place under the rate limit: who comes meanwhile goes along. Reads go with reads and writes with writes. The
callers wait here; a thread of ``senders`` makes the call, so that whoever is interrupted (dramatiq raises its time
limit in a caller's thread) breaks nobody else's call.

How many go together is found out: a document that is refused as a whole is repeated person by person, and from then on
fewer are taken. One that ended in trouble may have been too heavy as well: then it is fewer for a while.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from clients.errors import Misconfigured, Rejected, RemoteError, Unauthorized, Unavailable, Unknown
from clients.http import Call, waiting
from clients.pluvo.answer import Answer
from clients.pluvo.operations import Document, Step
from clients.pluvo.senders import senders
from clients.pluvo.share_out import Part, for_one, one_document, share_out

GATHER_SECONDS = 0.01
BUSY_SECONDS = 0.1  # the same while a call is under way
AWAKE_SECONDS = 0.5  # a waiting thread can be interrupted so often
GROWS_AFTER = 20  # calls that went well
_NOT_FOR_ITS_SIZE = {"throttled", "connect_failed", "tls_failed"}


class Line(Protocol):
    """What is needed of ``clients.pluvo.graphql.PluvoTransport``, which uses this file."""

    def run_alone(self, name: str, steps: Sequence[Step], token: str = "") -> Answer: ...

    def ask(self, name: str, steps: Sequence[Step], token: str = "") -> Answer: ...

    def wait_for_place(self) -> str: ...

    def heard_by(self, on_call: Callable[[Call], None], at_its_place: Callable[[], None] | None = None) -> Line: ...

    def on_call(self, call: Call) -> None: ...


@dataclass(frozen=True)
class Reply:
    """What became of a caller's part, and the calls made for it. Neither answer nor error: it has to go alone.

    ``before``: what was known of the size before this document was refused.
    """

    calls: Sequence[Call]
    answer: Answer | None = None
    error: BaseException | None = None
    before: tuple[int, int] = (1, 1)


@dataclass(eq=False)
class Caller:
    """Somebody who waits."""

    line: Line
    part: Part
    left: bool = False
    reply: queue.SimpleQueue[Reply] = field(default_factory=queue.SimpleQueue)

    def wait(self) -> Reply:
        """Wait for the reply, in short steps: a thread that waits for ever can't be interrupted."""
        while True:
            try:
                return self.reply.get(timeout=AWAKE_SECONDS)
            except queue.Empty:
                continue


class _SomebodyLeft(Exception):
    """A document is to be sent once more, and not all of it is wanted still."""


class Size:
    """How many people one document may have: at most ``most`` now, and never more than what was refused."""

    def __init__(self, people: int) -> None:
        self.most = people
        self._limit = people
        self._went_well = 0

    def learn(self, people: int, lesson: str) -> tuple[int, int]:
        """A document of so many was ``refused``, ended in ``trouble`` or went ``well``; gives what was known before."""
        before = self.most, self._limit
        if lesson == "well":
            self._went_well += people >= self.most
            if self._went_well >= GROWS_AFTER:
                self.most, self._went_well = min(self._limit, 2 * self.most), 0
        elif lesson and people > 1:
            self.most, self._went_well = max(1, min(self.most, people // 2)), 0
            if lesson == "refused":
                self._limit = min(self._limit, people - 1)
        return before

    def forget(self, before: tuple[int, int]) -> None:
        """It was one person's part that was refused, not the size."""
        self.most, self._limit = before


class _Lane:
    """Those who wait for the next documents of one kind."""

    def __init__(self, people: int) -> None:
        self.inbox: queue.SimpleQueue[Caller | None] = queue.SimpleQueue()  # None: a call ended
        self.gathering = threading.Lock()  # only a sender's thread takes it
        self.under_way: set[int] = set()  # the threads that make calls
        self.size = Size(people)

    def take(self, room: int, seconds: float = 0.0) -> list[Caller]:
        """Take those who are there; with ``seconds``, wait so long for others when somebody is there.

        While a call is under way that is longer, until one ends.
        """
        taken: list[Caller] = []
        soon = until = 0.0
        while len(taken) < room:
            left = until - time.monotonic()
            try:
                caller = self.inbox.get(timeout=left) if left > 0 else self.inbox.get_nowait()
            except queue.Empty:
                break
            if caller is None:
                until = soon
            elif not caller.left:
                taken.append(caller)
                if not until and seconds:
                    soon = time.monotonic() + seconds
                    until = soon + BUSY_SECONDS if self.under_way else soon
        return taken

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """A call is under way; who gathers hears when it ends."""
        self.under_way.add(threading.get_ident())
        try:
            yield
        finally:
            self.under_way.discard(threading.get_ident())
            if self.gathering.locked():
                self.inbox.put(None)


class Combiner:
    """At most ``people`` in one document. Share one between the clients of one tenant's Pluvo."""

    def __init__(self, people: int) -> None:
        self._lanes = {"query": _Lane(people), "mutation": _Lane(people)}

    def run(self, line: Line, name: str, steps: Sequence[Step], document: Document) -> Answer:
        """Send a caller's steps, with those of others where there are any; gives its own part of the answer.

        Raises what ``Line.run_alone`` raises.
        """
        lane = self._lanes[document.kind]
        caller = Caller(line, Part(name, steps, document))
        try:
            lane.inbox.put(caller)
            if not lane.gathering.locked():
                senders.submit(partial(self._depart, lane))
            with waiting:
                reply = caller.wait()
        except BaseException:
            caller.left = True  # what was not sent yet stays unsent
            raise
        for call in reply.calls:
            line.on_call(call)
        if reply.error is not None:
            raise reply.error
        return reply.answer if reply.answer is not None else self._alone(lane, caller, reply)

    def _alone(self, lane: _Lane, caller: Caller, reply: Reply) -> Answer:
        try:
            answer = caller.line.run_alone(caller.part.name, caller.part.steps)
        except (Rejected, Misconfigured):
            lane.size.forget(reply.before)
            raise
        if answer.whole is not None and not isinstance(answer.whole, Unavailable | Unknown):
            lane.size.forget(reply.before)
        return answer

    # ------------------------------------------------------------------------------------- in a thread of the senders

    def _depart(self, lane: _Lane) -> None:
        """Gather people and make their call. One gathers at a time; calls may be under way beside each other."""
        # Where another one gathers: that one looks into the inbox again afterwards.
        while lane.gathering.acquire(blocking=False):
            calls: list[Call] = []
            try:
                callers, token = self._gather(lane, calls)
            finally:
                lane.gathering.release()
            if not lane.inbox.empty():
                with contextlib.suppress(RuntimeError):  # no thread more: this one goes on after its call
                    senders.submit(partial(self._depart, lane))
            if callers:
                with lane.calling():
                    self._carry(lane, callers, token, calls)
            if lane.inbox.empty():
                return

    def _gather(self, lane: _Lane, calls: list[Call]) -> tuple[list[Caller], str]:
        """Take those who go together, and a token with which they have a place under the rate limit."""
        callers = lane.take(lane.size.most, GATHER_SECONDS)
        if not callers:
            return [], ""
        try:
            token = callers[0].line.heard_by(calls.append).wait_for_place()
        except BaseException as error:  # told to those who wait
            callers += lane.take(lane.size.most - len(callers))
            _tell_all(callers, error, calls)
            return [], ""
        callers += lane.take(lane.size.most - len(callers))
        return [caller for caller in callers if not caller.left], token

    def _carry(self, lane: _Lane, callers: Sequence[Caller], token: str, calls: list[Call]) -> None:
        """Make the call, and answer everybody whatever happens."""

        def at_its_place() -> None:
            # What has to be sent once more may be done again by others already, for whoever left.
            if any(caller.left for caller in callers):
                raise _SomebodyLeft

        line = callers[0].line.heard_by(calls.append, at_its_place)
        parts = [caller.part for caller in callers]
        answers: Sequence[Answer | None]
        try:
            if len(callers) == 1:
                answers = [line.run_alone(parts[0].name, parts[0].steps, token)]
            else:
                name, steps = one_document(parts)
                answers = share_out(line.ask(name, steps, token), parts)
        except _SomebodyLeft:
            before = lane.size.learn(len(callers), "")
            for n, caller in enumerate(callers):
                caller.reply.put(Reply(_calls_of(n, caller, calls), before=before))
            return
        except (Unavailable, Unknown, Unauthorized) as error:
            lane.size.learn(len(callers), "trouble" if _may_be_its_size(error) else "")
            return _tell_all(callers, error, calls)
        except RemoteError as error:
            if len(callers) == 1:
                return _tell_all(callers, error, calls)
            answers = [None] * len(callers)
        except BaseException as error:  # told to those who wait
            return _tell_all(callers, error, calls)
        before = lane.size.learn(len(callers), _lesson(answers))
        for n, (caller, answer) in enumerate(zip(callers, answers, strict=True)):
            code = answer.error.code if answer and answer.error else None
            heard = [*calls[:-1], replace(calls[-1], error_code=code)] if answer and calls else calls
            caller.reply.put(Reply(_calls_of(n, caller, heard), answer, before=before))


def _lesson(answers: Sequence[Answer | None]) -> str:
    """What a call that was answered says of its size."""
    if not any(answers):
        return "refused"
    troubled = [answer is None or (answer.whole is not None and _may_be_its_size(answer.whole)) for answer in answers]
    return "trouble" if any(troubled) else "well"


def _may_be_its_size(error: RemoteError) -> bool:
    return isinstance(error, Unavailable | Unknown) and error.code not in _NOT_FOR_ITS_SIZE


def _tell_all(callers: Sequence[Caller], error: BaseException, calls: Sequence[Call]) -> None:
    for n, caller in enumerate(callers):
        others = [other.part for other in callers if other is not caller]
        told = for_one(error, caller.part, others)
        caller.reply.put(Reply(_calls_of(n, caller, calls), error=told))


def _calls_of(n: int, caller: Caller, calls: Sequence[Call]) -> list[Call]:
    """The calls as one caller hears of them. All but the first hear of them as shared: nobody counts one twice."""
    return [replace(call, operation=call.operation if call.token else caller.part.name, shared=n > 0) for call in calls]
