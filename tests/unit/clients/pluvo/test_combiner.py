"""Several people in one document: fewer calls, and each gets exactly what is theirs."""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import Rejected, RemoteError, Unauthorized, Unavailable, Unknown
from clients.http import Call, TokenCache, waiting
from clients.pluvo import (
    Applied,
    Combiner,
    NewUser,
    OfferEvent,
    PluvoClient,
    PluvoUser,
    SchemaMemory,
    UserChanges,
)
from clients.pluvo import combiner as combining
from clients.pluvo.senders import senders
from simulators.core.server import running
from simulators.pluvo import PluvoSimulator
from simulators.pluvo.tenant import PluvoTenant
from tests.unit.clients.pluvo.pluvo_server import USER_ID, Prepared, pluvo_server

EVENT = OfferEvent("afas-340")
NAMES = ["Anna Adelaar", "Bo Berends", "Carla Cornelissen", "Dirk Dijkgraaf", "Els Evertsen", "Frits Faber"]
_numbers = itertools.count()
_simulator: list[tuple[PluvoSimulator, str]] = []


@pytest.fixture(scope="module", autouse=True)
def _running() -> Iterator[None]:
    simulator = PluvoSimulator()
    with running(simulator.app) as url:
        _simulator[:] = [(simulator, url)]
        yield


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes first waits for as many as fit: the tests bring exactly those."""
    monkeypatch.setattr(combining, "GATHER_SECONDS", 60.0)


@dataclass
class World:
    """An organisation of its own, and clients for as many callers as a test wants."""

    people: int
    tenant: PluvoTenant = field(init=False)
    calls: dict[int, list[Call]] = field(default_factory=dict)
    waits: list[int] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.simulator, url = _simulator[0]
        self.key = f"acme{next(_numbers)}"
        self.url = f"{url}/t/{self.key}"
        self.tenant = self.simulator.add_tenant(self.key, client_id="us", client_secret="s3cret-of-us")
        self.tenant.add_offer_event("BHV", EVENT.ref)
        self.combiner = Combiner(self.people)
        self._shared: dict[str, Any] = {"tokens": TokenCache(), "memory": SchemaMemory(), "combiner": self.combiner}

    def client(self, n: int = 0, **options: Any) -> PluvoClient:
        def wait(begun: bool, look: Callable[[], None] | None) -> None:
            self.waits.append(n)
            self.before()
            if look:
                look()

        self.calls.setdefault(n, [])
        return PluvoClient(
            base_url=self.url,
            client_id="us",
            client_secret="s3cret-of-us",
            wait_for_rate_limit=wait,
            on_call=self.calls[n].append,
            **(self._shared | options),
        )

    def together(self, *wanted: Callable[[PluvoClient], Any]) -> list[Any]:
        """Let each want something at once; gives each one's result or error."""

        def one(n: int, want: Callable[[PluvoClient], Any]) -> Any:
            try:
                return want(self.client(n))
            except Exception as error:
                return error

        with ThreadPoolExecutor(len(wanted)) as pool:
            return list(pool.map(one, range(len(wanted)), wanted))

    def asked(self, *, token: bool = False) -> list[Any]:
        return [e for e in self.simulator.log.entries if e.tenant == self.key and (e.operation == "token") == token]

    def fault(self, kind: str, **settings: Any) -> None:
        self.simulator.faults.add(kind=kind, tenant=self.key, **settings)


def person(n: int) -> NewUser:
    name = NAMES[n]
    return NewUser(f"{name.split()[1].lower()}@example.nl", name, f"afas:12345:{1000 + n}", contact_id=f"{1000 + n}")


def creating(n: int) -> Callable[[PluvoClient], Applied]:
    return lambda client: client.create_user(person(n), send_invite=False, target=EVENT)


def finding(n: int) -> Callable[[PluvoClient], list[PluvoUser]]:
    return lambda client: client.find_users(emails=[person(n).email], refs=[person(n).ref])


def existing(world: World, n: int) -> str:
    new = person(n)
    return str(world.tenant.add_user(new.email, new.name, ref=new.ref)["id"])


def told_of_others(error: RemoteError, n: int) -> list[str]:
    others = [person(m) for m in range(len(NAMES)) if m != n]
    private = [value for new in others for value in (new.email, new.name, *new.name.split(), new.ref)]
    return [value for value in private if value in error.remote_text or value in str(error)]


# ------------------------------------------------------------------------------------------------- one call for several


def test_people_who_come_together_are_made_and_enrolled_in_one_call_and_each_hears_of_their_own() -> None:
    world = World(4)

    made = world.together(*map(creating, range(4)))

    assert [(applied.user.name, applied.enrollment.status) for applied in made] == [
        (name, "ENROLLED") for name in NAMES[:4]
    ]
    assert [entry.fields for entry in world.asked()] == [("createUser", "createOfferEventEnrollments") * 4]
    assert len(world.waits) == 1


def test_every_caller_hears_of_the_call_and_it_is_counted_once() -> None:
    world = World(3)
    world.tenant.change_switches(refused_values=[person(1).email])

    world.together(*map(creating, range(3)))

    heard = [[call for call in world.calls[n] if not call.token] for n in range(3)]
    assert [[(call.operation, call.status) for call in calls] for calls in heard] == [[("createUser", 200)]] * 3
    assert [calls[0].error_code for calls in heard] == [None, "refused", None]
    assert sum(call.counts for calls in heard for call in calls) == len(world.asked()) == 1
    assert sum(call.token and not call.shared for calls in world.calls.values() for call in calls) == 1


def test_look_ups_of_several_people_are_one_call_and_each_finds_their_own() -> None:
    world = World(4)
    ids = {n: existing(world, n) for n in (0, 2)}

    found = world.together(*map(finding, range(4)))

    assert [[user.id for user in users] for users in found] == [[ids[0]], [], [ids[2]], []]
    assert len(world.asked()) == 1


def test_reads_go_with_reads_and_writes_with_writes() -> None:
    world = World(2)
    for n in (2, 3):
        existing(world, n)

    world.together(creating(0), finding(2), creating(1), finding(3))

    assert sorted(entry.operation for entry in world.asked()) == ["createUser", "findUsers"]


def test_different_writes_go_together_each_persons_steps_in_their_order() -> None:
    world = World(3)
    user_id = existing(world, 0)
    world.tenant.change_user(user_id, archived=True)
    changes = UserChanges(name="Anna Adelaar-Bos", archived=False)

    results = world.together(
        lambda client: client.update_user(user_id, changes, ref=person(0).ref, target=EVENT),
        creating(1),
        lambda client: client.archive_users([user_id], archive=False),
    )

    assert results[0].user.name == "Anna Adelaar-Bos"
    assert results[1].user.name == "Bo Berends"
    assert results[2] == []
    (entry,) = world.asked()
    assert entry.operation == "severalPeople"
    in_order = ["archiveUsers", "updateUser", "createOfferEventEnrollments"]
    assert "".join(in_order) in "".join(entry.fields)


def test_never_more_than_so_many_go_together() -> None:
    world = World(2)

    made = world.together(*map(creating, range(6)))

    assert [applied.user.name for applied in made] == NAMES
    assert [len(entry.fields) for entry in world.asked()] == [4, 4, 4]
    assert len(world.waits) == 3


def test_who_comes_while_the_others_wait_for_the_rate_limit_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "GATHER_SECONDS", 0.0)
    world, go_on = World(3), threading.Event()
    world.before = lambda: _wait_for(go_on)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(creating(0), world.client(0))
        _until(lambda: len(world.waits) == 1)
        others = [pool.submit(creating(n), world.client(n)) for n in (1, 2)]
        _until(lambda: world.combiner._lanes["mutation"].inbox.qsize() == 2)
        go_on.set()
        users = [made.result().user for made in (first, *others)]

    assert [user and user.name for user in users] == NAMES[:3]
    assert len(world.asked()) == len(world.waits) == 1


def test_who_comes_while_a_call_is_under_way_goes_with_those_who_come_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(combining, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(combining, "BUSY_SECONDS", 60.0)
    world = World(6)
    world.fault("delay", seconds=3.0, times=1, match={"operation": "createUser"})

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(creating(0), world.client(0))
        _until(lambda: len(world.asked()) == 1)
        others = []
        for n in range(1, 4):
            others.append(pool.submit(creating(n), world.client(n)))
            time.sleep(0.05)
        for made in (first, *others):
            made.result()

    assert {user["name"] for user in world.tenant.users.values()} == set(NAMES[:4])
    assert [entry.fields.count("createUser") for entry in world.asked()] == [1, 3]


def test_alone_the_document_is_the_same_as_without_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "GATHER_SECONDS", 0.001)
    world = World(5)
    plain = world.client(combiner=None)

    for client in (world.client(), plain):
        client.create_user(person(0), send_invite=False, target=EVENT)
        client.find_users(emails=[person(0).email], refs=[person(0).ref])
        user = world.tenant.find_user(ref=person(0).ref)
        assert user
        world.tenant.purge_user(user["id"])

    texts = [(entry.operation, entry.body, entry.variables) for entry in world.asked()]
    assert texts[:2] == texts[2:]


# --------------------------------------------------------------------------------------------------- each their own end

WHOLE = {
    "nothing": None,
    "too complex": {"max_root_fields": 3},
    "too large": {"max_body_bytes": 1500},
    "no field twice": {"repeats_fields": False},
    "errors without a path": {"error_paths": False},
    "an error takes all": {"null_spoils": True},
    "names unknown to it": {"hidden": ["afasContactId", "User.afasConnectionId"]},
}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.sampled_from(["well", "refused", "taken"]), min_size=2, max_size=5))
def test_whatever_becomes_of_the_others_each_gets_exactly_their_own_result(whole: str, fates: list[str]) -> None:
    world = World(len(fates))
    for n, fate in enumerate(fates):
        if fate == "taken":
            existing(world, n)
    refused = [person(n).email for n, fate in enumerate(fates) if fate == "refused"]
    world.tenant.change_switches(refused_values=refused, **(WHOLE[whole] or {}))

    results = world.together(*map(creating, range(len(fates))))

    spoilt = whole in {"errors without a path", "an error takes all"} and set(fates) != {"well"}
    for n, (fate, result) in enumerate(zip(fates, results, strict=True)):
        if isinstance(result, RemoteError):
            assert told_of_others(result, n) == []
        if spoilt and isinstance(result, Unknown):
            continue  # it is looked up before anything is repeated
        if fate == "well":
            assert (result.user.name, result.enrollment.status) == (NAMES[n], "ENROLLED")
        else:
            assert type(result) is Rejected
            assert result.code == ("already_exists" if fate == "taken" else "refused")
    emails = {user["email"] for user in world.tenant.users.values()}
    assert emails == {person(n).email for n, fate in enumerate(fates) if fate != "refused"}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.sampled_from(["null", "error"]),
    st.lists(st.sampled_from(["there", "nobody", "refused"]), min_size=2, max_size=5),
)
def test_whatever_becomes_of_the_others_each_look_up_tells_the_truth(
    whole: str, unknown_user: str, fates: list[str]
) -> None:
    world = World(len(fates))
    ids = {n: existing(world, n) for n, fate in enumerate(fates) if fate == "there"}
    refused = [person(n).ref for n, fate in enumerate(fates) if fate == "refused"]
    world.tenant.change_switches(refused_values=refused, unknown_user=unknown_user, **(WHOLE[whole] or {}))

    def by_ref(n: int) -> Callable[[PluvoClient], list[PluvoUser]]:
        return lambda client: client.find_users(refs=[person(n).ref])

    results = world.together(*map(by_ref, range(len(fates))))

    for n, (fate, result) in enumerate(zip(fates, results, strict=True)):
        if fate == "refused":
            assert isinstance(result, Rejected)
            assert told_of_others(result, n) == []
        elif fate == "nobody" and isinstance(result, Rejected):
            assert (unknown_user, whole) == ("error", "errors without a path")  # alone it would be the same
        else:
            assert [user.id for user in result] == ([ids[n]] if n in ids else [])


@pytest.mark.parametrize("whole", ["too complex", "too large", "no field twice"])
def test_a_document_refused_as_a_whole_is_repeated_person_by_person_and_then_smaller_ones_are_sent(whole: str) -> None:
    world = World(4)
    world.tenant.change_switches(**(WHOLE[whole] or {}))

    made = world.together(*map(creating, range(4)))
    made += world.together(creating(4), creating(5))

    assert [applied.user.name for applied in made] == NAMES
    people = [len(entry.fields) // 2 for entry in world.asked() if entry.operation == "createUser"]
    assert people == [4, 1, 1, 1, 1, 2] + ([] if whole == "too large" else [1, 1])  # two are not too large


def test_the_size_that_worked_is_kept_and_found_again_after_trouble() -> None:
    size = combining.Size(10)

    size.learn(10, "refused")
    assert size.most == 5
    for _ in range(10 * combining.GROWS_AFTER):
        size.learn(size.most, "well")
    assert size.most == 9  # ten was refused
    size.learn(9, "trouble")
    assert size.most == 4
    for _ in range(10 * combining.GROWS_AFTER):
        size.learn(size.most, "well")
    assert size.most == 9


def test_one_value_that_spoils_the_whole_document_does_not_make_later_ones_smaller() -> None:
    world = World(3)
    bad = NewUser("x\ud800@example.nl", "Half a letter", "afas:12345:9")

    results = world.together(
        creating(0), lambda client: client.create_user(bad, send_invite=False, target=EVENT), creating(2)
    )

    assert [applied.user.name for applied in results[::2]] == [NAMES[0], NAMES[2]]
    assert (type(results[1]), results[1].code) == (Rejected, "not_sendable")
    assert world.combiner._lanes["mutation"].size.most == 3


@pytest.mark.parametrize("shown", [["p0_user"], ["user"], []], ids=["only one's", "of nobody's", "nothing"])
def test_a_read_of_which_the_answer_says_nothing_is_asked_again_alone(shown: list[str]) -> None:
    def answer(request: dict[str, Any]) -> Prepared:
        account = {"id": USER_ID, "ref": "r", "email": "p.jansen@example.nl", "name": "Pia Jansen", "archived": False}
        alone = "p0_user" not in request["query"]
        return Prepared({"data": dict.fromkeys(["user"] if alone else shown, account)})

    combiner = Combiner(2)
    with pluvo_server() as server, ThreadPoolExecutor(2) as pool:
        server.answer = answer
        clients = [server.client(combiner=combiner, tokens=TokenCache()) for _ in range(2)]
        found = list(pool.map(lambda client: client.get_user(USER_ID), clients))

    assert [user and user.id for user in found] == [USER_ID] * 2


# --------------------------------------------------------------------------------------------------- trouble of Pluvo's


def test_a_lost_answer_is_unknown_to_each_and_a_look_up_tells_each_that_it_happened() -> None:
    world = World(4)
    world.fault("lost_answer", match={"operation": "createUser"}, times=1)

    lost = world.together(*map(creating, range(4)))
    found = world.together(*map(finding, range(4)))

    assert [type(error) for error in lost] == [Unknown] * 4
    assert len({id(error) for error in lost}) == 4
    assert [[user.name for user in users] for users in found] == [[name] for name in NAMES[:4]]


TROUBLE: dict[str, tuple[str, dict[str, Any], type[RemoteError], str]] = {
    "throttled": ("retry_after", {"seconds": 7}, Unavailable, "throttled"),
    "busy": ("retry_after", {"seconds": 7, "status": 503}, Unavailable, "throttled"),
    "forbidden token": ("status", {"status": 401, "times": None}, Unauthorized, "auth_refused"),
}


@pytest.mark.parametrize("case", sorted(TROUBLE))
def test_what_concerns_everybody_is_told_to_all_alike(case: str) -> None:
    kind, options, error, code = TROUBLE[case]
    world = World(3)
    world.fault(kind, match={"operation": "createUser"}, **({"times": 1} | options))

    told = world.together(*map(creating, range(3)))

    assert [(type(each), each.code) for each in told] == [(error, code)] * 3
    assert [each.retry_after_seconds for each in told] == [7 if kind == "retry_after" else None] * 3
    assert len(world.asked()) == len(world.waits) == (2 if code == "auth_refused" else 1)
    assert world.tenant.users == {}


def test_an_expired_token_is_renewed_once_for_all() -> None:
    world = World(3)
    world.client(combiner=None).count_users(archived=False)
    world.tenant.expire_tokens()

    made = world.together(*map(creating, range(3)))

    assert [applied.user.name for applied in made] == NAMES[:3]
    assert len(world.asked(token=True)) == 2


def test_a_dead_token_endpoint_costs_one_wait_and_everybody_hears_which_call_it_was() -> None:
    world = World(3)
    world.fault("status", status=500, match={"operation": "token"})

    told = world.together(*map(creating, range(3)))

    assert [type(each) for each in told] == [Unavailable] * 3
    assert len(world.asked(token=True)) == 1
    assert world.asked() == []
    assert [world.calls[n][-1].token for n in range(3)] == [True] * 3


class Uncopyable(Exception):
    """As some libraries make them: only they can."""

    def __new__(cls, *args: Any) -> Uncopyable:
        if args != ("from here",):
            raise TypeError("no constructor defined")
        made: Uncopyable = super().__new__(cls)
        return made


def test_whatever_breaks_before_the_call_reaches_everybody_who_waits() -> None:
    world = World(3)

    def fail() -> None:
        raise Uncopyable("from here")

    world.before = fail

    assert [type(each) for each in world.together(*map(creating, range(3)))] == [Uncopyable] * 3


class NoPlace(Exception):
    """The next place is too far away."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:.1f} s")
        self.seconds = seconds


def test_without_a_place_under_the_rate_limit_nobody_calls_and_each_is_told_so() -> None:
    world = World(3)

    def refuse() -> None:
        raise NoPlace(9.0)

    world.before = refuse

    told = world.together(*map(creating, range(3)))

    assert [(type(each), each.seconds) for each in told] == [(NoPlace, 9.0)] * 3
    assert world.asked() == []


# -------------------------------------------------------------------------------------------------------- interruptions


class Interrupted(BaseException):
    """As dramatiq raises its time limit in a thread."""


def interrupt(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_long(thread.ident or 0), ctypes.py_object(Interrupted))


def test_a_caller_interrupted_during_the_call_breaks_nobody_elses() -> None:
    world, ended = World(3), dict[int, Any]()
    world.fault("delay", seconds=2.0, match={"operation": "createUser"})

    def run(n: int) -> None:
        try:
            with waiting.working():
                ended[n] = creating(n)(world.client(n))
        except BaseException as error:
            ended[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    _until(lambda: len(world.asked()) == 1)
    assert len(waiting) == 3
    interrupt(threads[1])
    for thread in threads:
        thread.join(60)

    assert isinstance(ended[1], Interrupted)
    assert len(waiting) == 0
    assert [ended[n].user.name for n in (0, 2)] == [NAMES[0], NAMES[2]]
    assert len(world.asked()) == 1


def test_a_caller_interrupted_before_the_call_is_left_out_of_it() -> None:
    world, go_on, ended = World(3), threading.Event(), dict[int, Any]()
    world.before = lambda: _wait_for(go_on)

    def run(n: int) -> None:
        try:
            ended[n] = creating(n)(world.client(n))
        except BaseException as error:
            ended[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    _until(lambda: len(world.waits) == 1)
    interrupt(threads[0])
    threads[0].join(60)
    go_on.set()
    for thread in threads:
        thread.join(60)

    assert isinstance(ended[0], Interrupted)
    assert [ended[n].user.name for n in (1, 2)] == NAMES[1:3]
    assert {user["name"] for user in world.tenant.users.values()} == set(NAMES[1:3])


@pytest.mark.parametrize("company", [1, 3])
def test_what_must_be_sent_once_more_goes_without_a_caller_who_was_interrupted_meanwhile(company: int) -> None:
    world, go_on, ended = World(company), threading.Event(), dict[int, Any]()
    world.client(combiner=None).count_users(archived=False)
    world.tenant.expire_tokens()  # the first call is refused: nothing happened, and it waits for a place again
    waited = len(world.waits)
    world.before = lambda: _wait_for(go_on) if len(world.waits) > waited + 1 else None

    def run(n: int) -> None:
        try:
            ended[n] = creating(n)(world.client(n))
        except BaseException as error:
            ended[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(company)]
    for thread in threads:
        thread.start()
    _until(lambda: len(world.waits) == waited + 2)
    interrupt(threads[0])
    threads[0].join(60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    _until(lambda: senders._free == sum(one.name == "pluvo-sender" for one in threading.enumerate()))

    assert isinstance(ended[0], Interrupted)
    assert [ended[n].user.name for n in range(1, company)] == NAMES[1:company]
    assert {user["name"] for user in world.tenant.users.values()} == set(NAMES[1:company])


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def _wait_for(event: threading.Event) -> None:
    assert event.wait(60)
