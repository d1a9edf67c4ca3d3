"""Whatever happens between a plan and the act, in any order: nothing is done that is not true any more.

A history mixes changes in AFAS, in Pluvo and in the settings, operators' verbs, outages of one call, plans, and single
deliveries of their messages, over three events of which several lead to one target, with people who share accounts. A
third of them has two tenants of one Pluvo organisation whose AFAS environments number their people alike.
After each delivery the judge (``tests/fixtures/judge.py``) says whether somebody lost, got or became what they should
not have. In the end everything is put right, and Pluvo must equal AFAS.

The suite plays some 30 histories, the same ones each time; ``PYTEST_HISTORIES=750`` plays 3,000, ``PYTEST_SEED`` other
ones.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from clients.errors import RemoteError
from models.base import new_id
from models.session import transaction
from ops.dead_letters import inbox
from ops.dead_letters import replay as replays
from ops.people import links
from ops.problems import Problem
from ops.runs import history as run_verbs
from ops.tenants import file as tenants_file
from ops.tenants import importing, manage
from producers.enrollments import decide_holds
from simulators.afas.tenant import COMPLETION_FIELD, OAuthClient
from tests.fixtures.judge import Judge, memberships
from tests.fixtures.looking import retry_now
from tests.fixtures.world import World
from workers.messages.envelope import Envelope
from workers.messages.execute import run_delivery

PARTS = 4  # so that several processes share the work
SHRINK = bool(os.environ.get("PYTEST_SHRINK"))  # takes minutes
FIRST_SEED = int(os.environ.get("PYTEST_SEED", "0"))
HISTORIES = int(os.environ.get("PYTEST_HISTORIES", "8"))  # of each part
EVENTS = ("340", "341", "342")
TARGETS = ("offer_event:afas-340", "offer_event:afas-341", "group:bhv", "group:ehbo")
POLICIES = ("unenroll", "unenroll_and_archive", "keep")
KINDS = ("event", "run", "window", "creates", "email_changes")
MEMBERS = {"acme": "12345", "beta": "67890"}
KNOWN_1, KNOWN_2 = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
WHO = "tester"

PEOPLE = st.integers(1, 8)
EVENT = st.sampled_from(EVENTS)
NUMBER = st.integers(0, 5)
SLUG = st.sampled_from(["acme", "acme", "acme", "beta"])


@dataclass(frozen=True)
class Step:
    """One thing that happens. What the numbers mean depends on ``what``: see the function of that name."""

    what: str
    who: int = 1
    event: str = "340"
    value: int = 0
    slug: str = "acme"


@dataclass
class Settings:
    """The tenants file as it stands."""

    policy: str
    tight: bool
    targets: dict[str, str]
    out: set[str]
    slugs: list[str]
    people_per_call: int = 1


def _steps(names: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.sampled_from(names.split()), *arguments)


AFAS = _steps("join join leave leave rename address address block reject", PEOPLE, EVENT, NUMBER, SLUG)
PLUVO = _steps("by_hand out_by_hand same_id archived purged renamed_there", PEOPLE, EVENT, NUMBER, SLUG)
OPERATOR = _steps(
    "set_link remove_link create ignore link_candidate release release_some refuse pause resume stop discard replay",
    PEOPLE,
    EVENT,
    NUMBER,
    SLUG,
)
SETTINGS = _steps("course_out course_in policy target limits", PEOPLE, EVENT, NUMBER, SLUG)
ENGINE = _steps("plan plan plan act act act act outage later read_fault one_person full", PEOPLE, EVENT, NUMBER, SLUG)
HISTORY = st.lists(st.one_of(AFAS, AFAS, PLUVO, OPERATOR, SETTINGS, ENGINE, ENGINE), min_size=8, max_size=36)
START = st.lists(st.tuples(PEOPLE, EVENT, SLUG), min_size=3, max_size=12)
SLUGS = st.sampled_from([["acme"], ["acme"], ["acme", "beta"]])
PEOPLE_PER_CALL = st.sampled_from([1, 1, 2, 4])
LEADS = st.tuples(*[st.sampled_from(TARGETS)] * len(EVENTS))


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_done_that_is_not_true_any_more(world: World, part: int) -> None:
    # given / when / then: see ``_play``
    @seed(FIRST_SEED + part)
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
    )
    @given(start=START, leads=LEADS, tight=st.booleans(), slugs=SLUGS, history=HISTORY, people=PEOPLE_PER_CALL)
    def play(  # noqa: PLR0917
        start: list[tuple[int, str, str]],
        leads: tuple[str, ...],
        tight: bool,
        slugs: list[str],
        history: list[Step],
        people: int,
    ) -> None:
        file = Settings("unenroll", tight, dict(zip(EVENTS, leads, strict=True)), set(), slugs, people)
        _play(world, start, file, history)

    play()


def _play(world: World, start: list[tuple[int, str, str]], file: Settings, history: list[Step]) -> None:
    story = Story(world, file)
    story.begin(start)
    for step in history:
        story.happens(step)
    story.ends()


class Story:
    """One history under way."""

    def __init__(self, world: World, file: Settings) -> None:
        self.world = world
        self.file = file
        self.worlds: dict[str, World] = {"acme": world}
        self.judge = Judge({1: world})
        # Whether a plan was made while the policy was "keep": whoever was gone then stays for good.
        self.kept = False

    # ------------------------------------------------------------------------------------------------ begin and end

    def begin(self, start: list[tuple[int, str, str]]) -> None:
        """Three strangers in Pluvo, two of whom AFAS will know, and a first run."""
        world = self.world
        world.reset(events=EVENTS)
        beta = World(world.afas_simulator, world.pluvo_simulator, world.afas_url, world.pluvo_url, pluvo=world.pluvo)
        beta.afas = world.afas_simulator.add_tenant(
            MEMBERS["beta"], oauth_clients={"koppeling": OAuthClient(["geheim"])}
        )
        if "beta" in self.file.slugs:
            self.worlds["beta"] = beta
        for each in self.worlds.values():
            each.afas.connectors["Deelnemer_per_cursusevenement"].columns["Geblokkeerd"] = "blocked"
        for name in ("bhv", "ehbo"):
            world.pluvo.add_group(name.upper(), name)
        world.pluvo.add_user("vreemd@example.org", "Vreemd", id="stranger", ref="theirs")
        world.pluvo.add_user("adres1@example.nl", "Naam 1", id=KNOWN_1)
        world.pluvo.add_user("p2@example.nl", "Persoon 2", id=KNOWN_2, ref="hr-2")
        self._enroll_by_hand("stranger", "offer_event:afas-340")
        self._enroll_by_hand("stranger", "group:bhv")
        self._save()
        for row in world.rows("SELECT id, slug FROM tenant"):
            self.worlds[row["slug"]].tenant_id = row["id"]
        self.judge.worlds = {each.tenant_id: each for each in self.worlds.values()}
        for who, event, slug in start:
            self.join(Step("join", who, event, slug=slug if slug in self.worlds else "acme"))
        for slug in self.worlds:
            self.plan(Step("plan", slug=slug))
        while self._deliver():
            pass

    def happens(self, step: Step) -> None:
        """One step. Only deliveries may write to Pluvo."""
        if step.slug not in self.worlds:
            step = replace(step, slug="acme")
        self.judge.note(str(step))
        self.world.clear_log()
        try:
            getattr(self, step.what)(step)
        except Problem as refused:
            self.judge.note(f"  refused: {refused}")
        if step.what != "act":
            self.judge.nothing_written(step.what)

    def ends(self) -> None:
        """Everything is put right: in the end Pluvo equals AFAS, and nothing of others changed."""
        world = self.world
        self.judge.note("the end")
        world.clear_faults()
        for slug, each in self.worlds.items():
            for event in EVENTS:  # an empty event proves nothing
                each.person(99, int(event))
            for internal_id in sorted({internal for _, internal in each.afas.rows}):
                each.afas.set_email(internal_id, f"eigen{internal_id}.{slug}@example.nl")
                each.afas.rename(internal_id, f"Eigen {internal_id} {slug}")
        self.file.policy, self.file.tight, self.file.out = "unenroll", False, set()
        self._save()
        for slug in self.worlds:
            manage.resume(slug, direction=None, who=WHO)
        world.rows("UPDATE enrollment SET removal_refused = false, refused_fingerprint = NULL RETURNING id")
        # What a run that looks at everything finds gone in Pluvo, somebody decides, and the next run does.
        for last, full in ((False, False), (False, False), (True, False), (True, True), (True, True)):
            self._decide_everything(last)
            self._release_everything()
            for slug in self.worlds:
                self.plan(Step("plan", slug=slug), **({"full": True} if full else {}))
            for _ in range(6):
                while self._deliver():
                    pass
                if not retry_now(world):
                    break
            if not (wrong := self._wrong()):
                return
        self._fail(wrong)

    def _decide_everything(self, last: bool) -> None:
        """As an operator would who reads the list: match anew, and where that leads nowhere choose."""
        if known := self.world.pluvo.users.get(KNOWN_1):
            known["afasContactId"] = None
            self.world.pluvo.changed()
        for row in self.world.rows(
            """SELECT t.slug, p.internal_id, l.candidates FROM link l JOIN person p ON p.id = l.person_id
                 JOIN tenant t ON t.id = l.tenant_id WHERE l.state IN ('ambiguous', 'ignored')"""
        ):
            step = Step("decide", int(row["internal_id"]), slug=row["slug"])
            chosen = [one["pluvo_id"] for one in row["candidates"] if one["pluvo_id"] in self.world.pluvo.users]
            if not last:
                self.remove_link(step)
            elif chosen:
                self._decide(step, "link", chosen[0])
            else:
                self.remove_link(step)
                self.create(step)

    def _wrong(self) -> list[str]:
        """Where Pluvo differs from AFAS, or from what others had."""
        world, problems = self.world, list[str]()
        accounts = {
            (row["slug"], row["internal_id"]): row["pluvo_id"]
            for row in world.rows(
                """SELECT t.slug, p.internal_id, l.pluvo_id FROM link l JOIN person p ON p.id = l.person_id
                     JOIN tenant t ON t.id = l.tenant_id WHERE l.state IN ('linked', 'left')"""
            )
        }
        now = memberships(world)
        wanted = {
            (accounts.get((slug, str(internal))), self.file.targets[str(event)])
            for slug, each in self.worlds.items()
            for (event, internal), row in each.afas.rows.items()
            if not row.blocked
        }
        kept = {
            (row["told_account"], row["told_target"])
            for row in world.rows("SELECT told_account, told_target FROM enrollment WHERE state = 'kept'")
            if self.kept
        }
        problems += [f"missing {each}" for each in wanted - now]
        problems += [
            f"left over {each}"
            for each in (self.judge.ours & now) - wanted - kept
            if each[0] not in self.judge.orphaned
        ]
        stranger = world.pluvo.users["stranger"]
        if (stranger["email"], stranger["name"], stranger["archived"]) != ("vreemd@example.org", "Vreemd", False):
            problems.append("the stranger changed")
        if not {("stranger", "offer_event:afas-340"), ("stranger", "group:bhv")} <= now:
            problems.append("the stranger lost something")
        return problems

    def _fail(self, problems: list[str]) -> None:
        state = self.world.rows(
            """SELECT p.tenant_id, p.internal_id, l.state AS link, l.pluvo_id, l.reason AS why, l.decision,
                      c.event_id, e.state, e.row_state, e.outcome, e.reason, e.failed_code
                 FROM person p LEFT JOIN link l ON l.person_id = p.id LEFT JOIN enrollment e ON e.person_id = p.id
                 LEFT JOIN course c ON c.id = e.course_id ORDER BY 1, 2, 7"""
        )
        raise AssertionError("\n".join([*self.judge.log, *map(str, state), *problems]))

    # ------------------------------------------------------------------------------------------------------- in AFAS

    def _of(self, step: Step) -> World:
        return self.worlds[step.slug]

    def join(self, step: Step) -> None:
        known = {internal: row for (_, internal), row in self._of(step).afas.rows.items()}.get(step.who)
        like = {"name": known.name, "email_primary": known.email_primary} if known else {}
        self._of(step).person(step.who, int(step.event), **like)

    def leave(self, step: Step) -> None:
        if (int(step.event), step.who) in self._of(step).afas.rows:
            self._of(step).afas.remove(int(step.event), step.who)

    def rename(self, step: Step) -> None:
        self._of(step).afas.rename(step.who, f"Naam {step.value % 3}")

    def address(self, step: Step) -> None:
        self._of(step).afas.set_email(step.who, f"adres{step.value % 4}@example.nl")

    def block(self, step: Step) -> None:
        if (int(step.event), step.who) in self._of(step).afas.rows:
            self._of(step).afas.change(int(step.event), step.who, blocked=bool(step.value % 2))

    def reject(self, step: Step) -> None:
        self._of(step).afas.set_email(step.who, "geen adres")

    # ------------------------------------------------------------------------------------------------------ in Pluvo

    def _account(self, step: Step) -> str | None:
        found = self.world.rows(
            """SELECT l.pluvo_id FROM link l JOIN person p ON p.id = l.person_id
                WHERE p.tenant_id = :tenant AND p.internal_id = :who AND l.pluvo_id IS NOT NULL""",
            tenant=self._of(step).tenant_id,
            who=str(step.who),
        )
        return found[0]["pluvo_id"] if found and found[0]["pluvo_id"] in self.world.pluvo.users else None

    def _known(self, step: Step) -> bool:
        return bool(
            self.world.rows(
                "SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :who",
                tenant=self._of(step).tenant_id,
                who=str(step.who),
            )
        )

    def _enroll_by_hand(self, user_id: str, target: str) -> None:
        kind, _, ref = target.partition(":")
        if kind == "group":
            group = next(g for g in self.world.pluvo.groups.values() if g["ref"] == ref)
            self.world.pluvo.join(group["id"], [user_id])
        else:
            event = next(e for e in self.world.pluvo.offer_events.values() if e["ref"] == ref)
            self.world.pluvo.enroll(user_id, event["id"])

    def by_hand(self, step: Step) -> None:
        """A manager puts somebody's account somewhere in Pluvo."""
        if account := self._account(step):
            target = TARGETS[step.value % len(TARGETS)]
            self._enroll_by_hand(account, target)

    def out_by_hand(self, step: Step) -> None:
        """A manager takes somebody out of somewhere in Pluvo."""
        if account := self._account(step):
            group = next(g for g in self.world.pluvo.groups.values() if g["ref"] == "bhv")
            group["members"].pop(account, None)
            self.judge.ours.discard((account, "group:bhv"))

    def same_id(self, step: Step) -> None:
        """Another account gets this person's AFAS id."""
        if KNOWN_1 in self.world.pluvo.users:
            self.world.pluvo.change_user(KNOWN_1, afasContactId=str(step.who))

    def archived(self, step: Step) -> None:
        if account := self._account(step):
            self.world.pluvo.change_user(account, archived=True)

    def purged(self, step: Step) -> None:
        account = self._account(step)
        if account and account != "stranger":
            self.world.pluvo.purge_user(account)
            self.judge.ours = {each for each in self.judge.ours if each[0] != account}

    def renamed_there(self, step: Step) -> None:
        if account := self._account(step):
            self.world.pluvo.change_user(account, name=f"Met de hand {step.value}")

    # ----------------------------------------------------------------------------------------------- operators' verbs

    def set_link(self, step: Step) -> None:
        users = sorted(user for user in self.world.pluvo.users if user != "stranger")
        before = self._account(step)
        links.set_link(step.slug, str(step.who), users[step.value % len(users)], who=WHO)
        if before:
            self.judge.orphaned.add(before)

    def remove_link(self, step: Step) -> None:
        before = self._account(step)
        if self._known(step):
            links.remove(step.slug, str(step.who), erase=False, who=WHO)
            if before:
                self.judge.orphaned.add(before)

    def _decide(self, step: Step, decision: str, pluvo_id: str | None = None) -> None:
        before = self._account(step)
        if self._known(step):
            links.decide(step.slug, str(step.who), decision, pluvo_id, who=WHO)
            if before and before != pluvo_id:
                self.judge.orphaned.add(before)

    def create(self, step: Step) -> None:
        self._decide(step, "create")

    def ignore(self, step: Step) -> None:
        self._decide(step, "ignore")

    def link_candidate(self, step: Step) -> None:
        """Decide the first ambiguous person that has candidates."""
        for row in self.world.rows(
            """SELECT t.slug, p.internal_id, l.candidates FROM link l JOIN person p ON p.id = l.person_id
                 JOIN tenant t ON t.id = l.tenant_id
                WHERE l.state = 'ambiguous' AND l.candidates <> '[]' ORDER BY p.id LIMIT 1"""
        ):
            chosen = row["candidates"][step.value % len(row["candidates"])]["pluvo_id"]
            if chosen in self.world.pluvo.users:
                self._decide(Step("link", int(row["internal_id"]), slug=row["slug"]), "link", chosen)

    def _hold(self, step: Step) -> str | None:
        found = self.world.rows("SELECT id FROM hold WHERE state = 'open' ORDER BY id")
        return found[step.value % len(found)]["id"] if found else None

    def release(self, step: Step, persons: list[str] | None = None) -> None:
        if hold := self._hold(step):
            with transaction() as connection:
                decide_holds.release(connection, hold, reason="it is so", who=WHO, persons=persons)

    def release_some(self, step: Step) -> None:
        self.release(step, [str(step.who), str(step.who + 1)])

    def refuse(self, step: Step) -> None:
        if hold := self._hold(step):
            # where an operator says that people stay, they stay
            for row in self.world.rows(
                """SELECT e.left_behind FROM hold_line h JOIN plan_line l ON l.id = h.plan_line_id
                     JOIN enrollment e ON e.id = h.enrollment_id
                    WHERE h.hold_id = :hold AND h.state = 'open' AND l.take_out""",
                hold=hold,
            ):
                self.judge.ours -= {(place["account"], place["target"]) for place in row["left_behind"]}
            with transaction() as connection:
                decide_holds.refuse(connection, hold, reason="no", who=WHO)

    def _release_everything(self) -> None:
        for hold in self.world.rows("SELECT id FROM hold WHERE state = 'open'"):
            with transaction() as connection:
                decide_holds.release(connection, hold["id"], reason="it is so", who=WHO)

    def pause(self, step: Step) -> None:
        manage.pause(step.slug, reason="a look", direction="enrollments", who=WHO)

    def resume(self, step: Step) -> None:
        manage.resume(step.slug, direction=None, who=WHO)

    def stop(self, step: Step) -> None:
        for run in self.world.rows("SELECT id FROM run ORDER BY id DESC LIMIT 1"):
            run_verbs.stop(run["id"], who=WHO)

    def _dead(self) -> list[str]:
        return [row["id"] for row in self.world.rows("SELECT id FROM dead_letter WHERE state = 'open' ORDER BY id")]

    def discard(self, step: Step) -> None:
        if dead := self._dead():
            inbox.discard(dead[:1], reason="no", who=WHO)

    def replay(self, step: Step) -> None:
        if dead := self._dead():
            with transaction() as connection:
                replays.send(connection, dead[0], who=WHO, reason=None, batch=new_id())

    # ------------------------------------------------------------------------------------------------ settings change

    def course_out(self, step: Step) -> None:
        self.file.out.add(step.event)
        if len(self.file.out) == len(EVENTS):
            self.file.out.discard("340")
        self._save()

    def course_in(self, step: Step) -> None:
        self.file.out.discard(step.event)
        self._save()

    def policy(self, step: Step) -> None:
        self.file.policy = POLICIES[step.value % len(POLICIES)]
        self._save()

    def target(self, step: Step) -> None:
        self.file.targets[step.event] = TARGETS[step.value % len(TARGETS)]
        self._save()

    def limits(self, step: Step) -> None:
        self.file.tight = bool(step.value % 2)
        self._save()

    def _save(self) -> None:
        """Import the tenants file as it stands now."""
        importing.apply(tenants_file.parse(self._toml(), name="tenants.toml", folder=Path()), WHO)

    def _toml(self) -> str:
        limit = {True: 1, False: 10_000}[self.file.tight]
        limits = "\n".join(
            f"{kind}_count = {limit}\n{kind}_percent = {0 if self.file.tight else 100}" for kind in KINDS
        )
        courses = "\n".join(_course(event, self.file.targets[event]) for event in EVENTS if event not in self.file.out)
        return "\n".join(self._tenant(slug, limits, courses) for slug in self.file.slugs)

    def _tenant(self, slug: str, limits: str, courses: str) -> str:
        return f"""
[[tenants]]
slug = "{slug}"
name = "{slug.title()}"
[tenants.afas]
member_id = "{MEMBERS[slug]}"
auth = "oauth"
client_id = "koppeling"
client_secret = "geheim"
base_url = "{self.world.afas_url}/t/{MEMBERS[slug]}/ProfitRestServices"
[tenants.pluvo]
organisation = "acme"
client_id = "koppeling"
client_secret = "geheim"
calls_per_second = 0
people_per_call = {self.file.people_per_call}
base_url = "{self.world.pluvo_url}/t/acme"
[tenants.removals]
policy = "{self.file.policy}"
confirm_after = "0s"
[tenants.removals.limits]
{limits}
{courses}
"""

    # ----------------------------------------------------------------------------------------------------- the engine

    def plan(self, step: Step, **options: Any) -> None:
        """A run up to its messages."""
        if step.slug in self._stopped():
            return
        self.kept = self.kept or self.file.policy == "keep"
        try:
            self.judge.has_read(self._of(step).begin(**options), options.get("person"))
        except RemoteError as error:
            self.judge.note(f"  could not run: {error.code}")
            newest = self.world.rows("SELECT id FROM run ORDER BY id DESC LIMIT 1")[0]
            self.judge.has_read(self.world.run(newest["id"]), options.get("person"))

    def one_person(self, step: Step) -> None:
        self.plan(step, person=str(step.who))

    def full(self, step: Step) -> None:
        self.plan(step, full=True)

    def act(self, step: Step) -> None:
        """One message, or a few; all at once where people share calls."""
        if self.file.people_per_call > 1:
            self._deliver(step.value + 1)
            return
        for _ in range(step.value + 1):
            if not self._deliver():
                return

    def outage(self, step: Step) -> None:
        """The next call, or the one after it, is lost on the way, refused or done without an answer."""
        kinds: list[dict[str, Any]] = [
            {"kind": "status", "status": 502},
            {"kind": "reset"},
            {"kind": "lost_answer"},
            {"kind": "graphql_error", "code": "ValidationError", "message": "No."},
            {"kind": "status", "status": 502, "applies": True},
        ]
        self.world.fault("pluvo", times=1, skip=step.who % 3, **kinds[step.value % len(kinds)])

    def read_fault(self, step: Step) -> None:
        kinds: list[dict[str, Any]] = [
            {"kind": "short", "count": 2},
            {"kind": "empty"},
            {"kind": "shuffled", "seed": step.who},
            {"kind": "doubled", "count": 1},
        ]
        self.world.fault("afas", match={"operation": "page"}, times=1, skip=step.who % 4, **kinds[step.value % 4])

    def later(self, step: Step) -> None:
        """Time passes: what waited may be tried again."""
        retry_now(self.world)

    def _stopped(self) -> list[str]:
        found = self.world.rows(
            """SELECT t.slug FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
                WHERE d.direction = 'enrollments' AND d.state IN ('paused', 'quarantined')"""
        )
        return [row["slug"] for row in found]

    def _deliver(self, at_most: int = 1) -> bool:
        """Messages, at once, as the relay would hand them out; False when none may go."""
        handed_out = list[Envelope]()
        while len(handed_out) < at_most and (envelope := self.world.hand_out(but_not=self._stopped())):
            handed_out.append(envelope)
        if not handed_out:
            return False
        ids = [envelope.message_id for envelope in handed_out]
        rows = self.world.rows("SELECT subject_id FROM message WHERE id = ANY(:ids) ORDER BY id", ids=ids)
        self.judge.deliveries([row["subject_id"] for row in rows], lambda: _at_once(handed_out))
        return True


def _at_once(envelopes: list[Envelope]) -> None:
    if len(envelopes) == 1:
        return run_delivery(envelopes[0])
    with ThreadPoolExecutor(len(envelopes)) as pool:
        list(pool.map(run_delivery, envelopes))


def _course(event: str, target: str) -> str:
    kind, _, ref = target.partition(":")
    return f"""
[[tenants.courses]]
event_id = "{event}"
getconnector = "Deelnemer_per_cursusevenement"
updateconnector = "KnCourseMember"
completion_field = "{COMPLETION_FIELD}"
[tenants.courses.fields]
event_id = "CrId"
internal_id = "Intern_ID"
external_id = "Extern_ID"
name = "Naam"
email_primary = "Email_werk"
email_secondary = "Email_prive"
completion = "Voltooid_op"
blocked = "Geblokkeerd"
[tenants.courses.pluvo]
{kind}_ref = "{ref}"
completion_title = "Training {event}"
"""
