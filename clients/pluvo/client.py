"""Talk to Pluvo, the LMS: one method per call we really make (docs/pluvo.md).

Every method makes one HTTP call unless it says otherwise, and raises one of ``clients.errors``. Where a document both
changes an account and enrolls it, the enrolling can fail by itself: that is in ``Applied.enroll_error``.
Never used here: ``updateOrCreateUser``, which makes a new account when its selector finds nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from clients.errors import PLUVO, Incomplete, Misconfigured, Rejected, RemoteError, Unavailable
from clients.http import Call, TokenCache
from clients.pluvo import records
from clients.pluvo.answer import Answer
from clients.pluvo.combiner import Combiner
from clients.pluvo.enrolling import NOT_ADDED, NOT_CONFIRMED, enroll_step, with_enrollment
from clients.pluvo.errors import ALREADY_EXISTS, AUTH_REFUSED, NOT_FOUND, OPERATION_MISSING, SERVER_ERROR
from clients.pluvo.graphql import NOBODY, SCOPES, PluvoTransport, SchemaMemory, WaitForPlace
from clients.pluvo.operations import AFAS_IDS, OPERATIONS, Operation, Step
from clients.pluvo.pages import Walk
from clients.pluvo.records import (
    Applied,
    Enrollment,
    Group,
    Memberships,
    NewUser,
    Page,
    PluvoUser,
    PortfolioRow,
    Target,
    TrainingInfo,
    UserChanges,
    UserPage,
    is_active,
    same_email,
    spellings,
)

# Whoever checks Pluvo's schema imports graphql-core then: it is large, and no other call needs it.
if TYPE_CHECKING:
    from graphql import GraphQLSchema

T = TypeVar("T")
Level = Literal["TRAINING", "COURSE"]
EMAILS_A_DOCUMENT = 5  # each costs three root fields
REFS_A_DOCUMENT = 15
_STATES = ("active", "archived")
PLUVO_HOSTS = ".pluvo.com"  # what every host of Pluvo ends with
NIL_ID = "00000000-0000-0000-0000-000000000000"


def pluvo_base_url(organisation: str) -> str:
    """Give the address of an organisation's Pluvo. Raises ``ValueError`` for anything but one DNS label."""
    label = organisation.strip().lower()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label, re.ASCII):
        raise ValueError("Type the organisation as in https://<organisation>.pluvo.com: letters, digits and hyphens.")
    return f"https://{label}{PLUVO_HOSTS}"


class PluvoClient:
    """One organisation. Safe to use from many threads; keep it, because it remembers what the live schema lacks.

    ``wait_for_rate_limit(begun, look)`` is called before every GraphQL call and may wait, or raise ``NoPlace``;
    ``begun``: whether this client has made a call already; ``look``, if any, is to be called when the call has its
    place. ``on_call`` hears of every HTTP call. ``operations`` replaces the texts (clients/pluvo/operations.py). With a
    ``combiner``, what other threads want at the same moment may go along in one call.
    """

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        wait_for_rate_limit: WaitForPlace | None = None,
        on_call: Callable[[Call], None] | None = None,
        read_timeout: float = 30,
        tokens: TokenCache | None = None,
        operations: Mapping[str, Operation] = OPERATIONS,
        memory: SchemaMemory | None = None,
        combiner: Combiner | None = None,
    ) -> None:
        self._line = PluvoTransport(
            base_url,
            client_id,
            client_secret,
            operations=operations,
            wait_for_rate_limit=wait_for_rate_limit,
            on_call=on_call,
            read_timeout=read_timeout,
            tokens=tokens,
            memory=memory,
            combiner=combiner,
        )
        self._shown: GraphQLSchema | None = None

    @contextmanager
    def at_its_place(self, look: Callable[[], None]) -> Iterator[None]:
        """Call ``look`` before each call in the block, when it has its place: what it raises keeps the call back.

        Where callers share a call, which waits a second at most, it is not asked.
        """
        self._line.at_its_place = look
        try:
            yield
        finally:
            del self._line.at_its_place

    @property
    def supports_afas_ids(self) -> bool:
        """Tell whether the live schema took the AFAS ids so far; True until a call has shown otherwise."""
        return not any(name in AFAS_IDS for _, name in self._line.refused)

    @property
    def supports_user_filter(self) -> bool:
        """Tell whether the report can be had of one user; True until a call has shown otherwise."""
        return not any(name == "userIds" and where.startswith("portfolio") for where, name in self._line.refused)

    # ------------------------------------------------------------------------------------------------ finding users

    def user_pages(self, archived: bool) -> Iterator[UserPage]:
        """List all users, in as many calls as there are pages of 50.

        Raises ``Incomplete`` at the end when these were perhaps not all: what was given is good.
        """
        walk = Walk(self._fetch("userPages", "users", archived=archived), records.user, lambda found: found.id)
        for users, total in walk.pages():
            yield UserPage(users, total)

    def count_users(self, archived: bool) -> int | None:
        """Ask how many users there are; None when Pluvo gives no count. One call, whatever their number."""
        return self._fetch("userPages", "users", archived=archived)(None).count

    def find_users(self, *, emails: Sequence[str] = (), refs: Sequence[str] = ()) -> list[PluvoUser]:
        """Find who has exactly these addresses (``same_email``) or refs, archived users too. One call per 5 addresses.

        ``user(email:)`` alone is not trusted: whether it knows archived users is not documented, so the search, which
        also finds parts of names, is asked as well and compared here.
        Raises ``Unavailable("user_unreadable")`` when Pluvo can't read somebody who may have one of them.
        """
        found, unread = self.look_up(emails=emails, refs=refs)
        if unread:
            raise Unavailable("user_unreadable", "Pluvo can't read a user who may have this address.", system=PLUVO)
        return found

    def look_up(
        self, *, emails: Sequence[str] = (), refs: Sequence[str] = ()
    ) -> tuple[list[PluvoUser], frozenset[str]]:
        """Find users in the same way; give beside them the addresses that a user may have whom Pluvo can't read."""
        wanted_emails = list(
            dict.fromkeys(spelling for email in emails if email.strip() for spelling in spellings(email.strip()))
        )
        wanted_refs = list(dict.fromkeys(ref for ref in refs if ref))
        found: list[PluvoUser] = []
        unread: set[str] = set()
        while wanted_emails or wanted_refs:
            found += self._find(wanted_emails[:EMAILS_A_DOCUMENT], wanted_refs[:REFS_A_DOCUMENT], unread)
            del wanted_emails[:EMAILS_A_DOCUMENT], wanted_refs[:REFS_A_DOCUMENT]
        return records.first_with_id(found), frozenset(unread)

    def get_user(self, user_id: str) -> PluvoUser | None:
        """Read one user; None when Pluvo does not know the id."""
        return self._read("getUser", Step("user", "user", {"id": user_id}), records.user)

    def _find(self, emails: Sequence[str], refs: Sequence[str], unread: set[str]) -> list[PluvoUser]:
        steps = [Step(f"ref{n}", "user", {"ref": ref}) for n, ref in enumerate(refs)]
        for n, email in enumerate(emails):
            steps.append(Step(f"email{n}", "user", {"email": email}))
            steps += [Step(f"{state}{n}", "users", {"q": email, "archived": state == "archived"}) for state in _STATES]
        answer = self._run_reads("findUsers", *steps)
        found = [answer.read(f"ref{n}", records.user) for n in range(len(refs))]
        hits = [user for user, ref in zip(found, refs, strict=True) if user is not None and user.ref == ref]
        for n, email in enumerate(emails):
            try:
                hits += [user for user in self._candidates(answer, n, email) if same_email(user.email, email)]
            except Incomplete:
                unread.add(email)
        return hits

    def _candidates(self, answer: Answer, n: int, email: str) -> Iterator[PluvoUser]:
        missing = 0
        try:
            user = answer.read(f"email{n}", records.user)
        except Rejected:  # however Pluvo words that it knows nobody: the two searches below decide
            user = None
        except Unavailable as error:
            if error.code != SERVER_ERROR or answer.whole is not None:
                raise
            user, missing = None, 1  # there is somebody, and Pluvo broke over them
        if user is not None:
            yield user
        for state in _STATES:
            page = answer.page(f"{state}{n}")
            missing += page.unread
            for node in page.nodes:
                try:
                    if node is not None:
                        yield records.user(node)
                except ValueError:
                    missing += 1
            if page.has_next:  # more than 50 hits for one address: walk them all
                fetch = self._fetch("searchUsers", "users", q=email, archived=state == "archived")
                for users, _ in Walk(fetch, records.user, lambda found: found.id).pages():
                    yield from users
        if missing:
            raise Incomplete("user_unreadable", "Pluvo can't read a user.", missing=missing, system=PLUVO)

    # ----------------------------------------------------------------------------------------------- changing users

    def create_user(self, new: NewUser, *, send_invite: bool, target: Target | None) -> Applied:
        """Make an account (role PARTICIPANT, language NL) and enroll it, in one document.

        Raises ``Rejected("already_exists")`` when the address or ref is taken, ``Rejected`` with another code when
        Pluvo refuses it otherwise, and ``Unknown`` when it may have happened: look it up by ref, then by e-mail.
        """
        values = {
            "send_invite": send_invite,
            "email": new.email,
            "name": new.name,
            "ref": new.ref,
            "person_id": new.person_id,
            "contact_id": new.contact_id,
        }
        steps = [Step("create", "create_user", values), *enroll_step(target, user_ref=new.ref)]
        answer = self._line.run("createUser", *steps)
        payload = answer.get("create")
        if isinstance(payload, dict) and payload.get("created") is False:
            raise Rejected("already_exists", "Pluvo has this user already.", system=PLUVO)
        user = answer.require("create", lambda value: records.user(value["user"]))
        return with_enrollment(answer, user, target)

    def update_user(self, user_id: str, changes: UserChanges, *, ref: str | None, target: Target | None) -> Applied:
        """Change an account and/or enroll it, in one document; no call when there is nothing to do.

        Restoring goes first and archiving last. ``ref`` is the user's where we chose it ourselves, else None: a ref
        that others choose may be somebody else's by now. Where a schema takes no ids, the ref is read just before.
        Raises ``Rejected("already_exists")`` when a new address is taken: enrolling may have happened all the same.
        """
        values = {
            "user_id": user_id,
            "name": changes.name,
            "email": changes.email,
            "person_id": changes.person_id,
            "contact_id": changes.contact_id,
        }
        archive = Step("archive", "archive_users", {"archive": changes.archived, "user_ids": [user_id]})
        whom = {"user_ref": ref} if ref else {"user_id": user_id}
        steps = [
            *([archive] if changes.archived is False else []),
            Step("update", "update_user", values),
            *enroll_step(target, **whom),
            *([archive] if changes.archived is True else []),
        ]
        answer = self._line.run("updateUser", *steps)
        if answer.asked("archive") and answer.require("archive", _failed_ids):
            raise Rejected("not_archived" if changes.archived else "not_restored", "Pluvo did not do it.", system=PLUVO)
        user = None
        if answer.asked("update"):
            user = answer.require("update", lambda value: records.optional(records.user, value["user"]))
            if user is None:
                raise answer.fields.get("update") or Rejected(NOT_FOUND, "Pluvo gives no such user.", system=PLUVO)
        if target is not None and not answer.asked("enroll"):
            answer = self._enroll_by_present_ref(user_id, target)
        return self._confirmed(with_enrollment(answer, user, target), user_id, target)

    def _confirmed(self, applied: Applied, user_id: str, target: Target | None) -> Applied:
        """Look whether somebody is enrolled whom the answer does not list.

        It may list only those it enrolled just now, or refuse who is in it already: neither is documented.
        """
        code = applied.enroll_error.code if applied.enroll_error else None
        if target is None or code not in {NOT_CONFIRMED, NOT_ADDED, ALREADY_EXISTS}:
            return applied
        try:
            if isinstance(target, Group):
                shown = self.memberships(user_id)
                there = shown is not None and target.ref in shown.groups
                return replace(applied, already_member=True, enroll_error=None) if there else applied
            event_id = self.offer_event_id(target.ref)
            found = self.enrollment(user_id, event_id) if event_id else None
        except RemoteError:  # what was done to the account must be told all the same
            return applied
        return replace(applied, enrollment=found, enroll_error=None) if is_active(found) else applied

    def _enroll_by_present_ref(self, user_id: str, target: Target) -> Answer:
        """Enroll where the schema takes no ids."""
        found = self.get_user(user_id)
        if found is None or not found.ref:
            raise Rejected(NOT_FOUND, "Pluvo gives no such user, or one without a ref.", system=PLUVO)
        return self._line.run("enroll", *enroll_step(target, user_ref=found.ref))

    def archive_users(self, ids: Sequence[str], archive: bool) -> list[str]:
        """Archive users, or restore them with ``archive=False``; give the ids for which it failed."""
        if not ids:
            return []
        step = Step("archive", "archive_users", {"archive": archive, "user_ids": list(ids)})
        return self._line.run("archiveUsers", step).require("archive", _failed_ids)

    # --------------------------------------------------------------------------------------- enrollments and groups

    def unenroll(self, user_id: str, *, offer_event_id: str) -> bool:
        """Take a user out of an offer event; True as well when the user was not in it.

        Whether Pluvo answers that with success is not documented, and words can be misread: a "no" and a "not found"
        cost a second call that looks.
        """
        step = Step("unenroll", "unenroll", {"user_id": user_id, "offer_event_id": offer_event_id})
        done, refused = self._undo("unenroll", step, lambda value: value.get("success") is True)
        if done or not is_active(self.enrollment(user_id, offer_event_id)):
            return True
        if refused is not None:
            raise refused
        return False

    def remove_from_group(self, group_ref: str, user_id: str) -> bool:
        """Take a user out of a group; True as well when the user was not in it, or one of the two is gone."""
        step = Step("remove", "remove_from_group", {"group_ref": group_ref, "user_id": user_id})
        done, refused = self._undo("removeFromGroup", step, lambda value: not records.bulk(value, "failed"))
        if refused is not None and self.group_id(group_ref) is not None and self.get_user(user_id) is not None:
            raise refused  # who is in a group can't be asked, but both are there: something else was not found
        return done or refused is not None

    def enrollment(self, user_id: str, offer_event_id: str) -> Enrollment | None:
        """Read one enrollment, whatever its status; None when there is none."""
        return self._read("enrollment", _enrollment_step(user_id, offer_event_id), records.enrollment)

    def user_and_enrollment(self, user_id: str, offer_event_id: str) -> tuple[PluvoUser | None, Enrollment | None]:
        """Read a user and one enrollment in one document; no enrollment where the schema does not know the question."""
        steps = Step("user", "user", {"id": user_id}), _enrollment_step(user_id, offer_event_id)
        answer = self._run_reads("userAndEnrollment", *steps)
        if answer.whole is not None and answer.whole.code == OPERATION_MISSING:
            return self.get_user(user_id), None
        user = answer.read("user", records.user)
        return user, answer.read("enrollment", records.enrollment)

    def memberships(self, user_id: str) -> Memberships | None:
        """Read everything a user is in, in one document; None when this Pluvo does not show it."""
        steps = Step("enrollments", "enrollments", {"user_id": user_id}), Step("groups", "groups_of", {"id": user_id})
        try:
            answer = self._line.run("memberships", *steps)
            return Memberships(
                answer.require("enrollments", records.offer_events),
                answer.require("groups", records.groups),
            )
        except (Misconfigured, Rejected):
            return None

    def offer_event_id(self, ref: str) -> str | None:
        """Find the id of an offer event; None when Pluvo does not know the ref."""
        return self._read("offerEvent", Step("offer_event", "offer_event", {"ref": ref}), records.id_of)

    def group_id(self, ref: str) -> str | None:
        """Find the id of a group; None when Pluvo does not know the ref."""
        return self._read("group", Step("group", "group", {"ref": ref}), records.id_of)

    def target_ids(self, targets: Sequence[Target]) -> dict[Target, str]:
        """Find the ids of offer events and groups, many in one call; what Pluvo does not know is left out."""
        found: dict[Target, str] = {}
        for start in range(0, len(targets), REFS_A_DOCUMENT):
            part = targets[start : start + REFS_A_DOCUMENT]
            steps = [
                Step(f"target{n}", "group" if isinstance(target, Group) else "offer_event", {"ref": target.ref})
                for n, target in enumerate(part)
            ]
            answer = self._run_reads("targets", *steps)
            for n, target in enumerate(part):
                if (target_id := answer.read(f"target{n}", records.id_of)) is not None:
                    found[target] = target_id
        return found

    # ---------------------------------------------------------------------------------------- completions, trainings

    def portfolio_pages(
        self, level: Level, *, group_ids: Sequence[str] | None = None, user_ids: Sequence[str] | None = None
    ) -> Iterator[list[PortfolioRow]]:
        """List who got how far in which training or course, page by page of 50; None means everyone.

        A row has no id, so equal rows can come twice when rows move between pages: treat equal rows as one.
        ``user_ids`` is also applied here, because a server may not know that filter.
        Raises ``Incomplete`` at the end when these were perhaps not all: what was given is good.
        """
        if (group_ids is not None and not group_ids) or (user_ids is not None and not user_ids):
            return
        filters = {name: list(ids) for name, ids in (("group_ids", group_ids), ("user_ids", user_ids)) if ids}
        fetch = self._fetch("portfolio", f"portfolio_{level.lower()}", **filters)
        wanted = None if user_ids is None else set(user_ids)
        for rows, _ in Walk(fetch, records.portfolio_row, lambda row: row, twins=True).pages():
            yield [row for row in rows if wanted is None or row.user_id in wanted]

    def trainings(self, q: str) -> list[TrainingInfo]:
        """Search trainings by words of the title, archived ones too; one call per 50 and state."""
        found: dict[str, TrainingInfo] = {}
        for state in _STATES:
            fetch = self._fetch("trainings", "trainings", q=q, archived=state == "archived")
            for trainings, _ in Walk(fetch, records.training, lambda training: training.id).pages():
                found.update((training.id, training) for training in trainings)
        return list(found.values())

    # ----------------------------------------------------------------------------------------------------- checking

    def check_operations(self) -> list[str]:
        """List what the live schema would refuse of our operations; [] when it fits or does not show itself."""
        from clients.pluvo import schema_check  # noqa: PLC0415

        schema = self._schema()
        return [] if schema is None else schema_check.differences(schema, self._line.operations)

    def check_assumed(self) -> tuple[bool, list[str]]:
        """Tell whether the live schema shows itself, and which names it lacks that we do without (docs/pluvo.md).

        Where it does not show itself, a few reads that find nobody tell part of it.
        """
        from clients.pluvo import schema_check  # noqa: PLC0415

        schema = self._schema()
        if schema is not None:
            return True, sorted(schema_check.spared(schema, self._line.operations))
        self.find_users(emails=["nobody@example.org"], refs=[NOBODY])
        next(iter(self.portfolio_pages("TRAINING", user_ids=[NIL_ID])), None)
        return False, sorted({name for _, name in self._line.refused})

    def people_in_one_call(self, people: int) -> int:
        """Find how many people Pluvo takes in one document, by halves from ``people`` down; each try is one read.

        Each person is two fields, as for a new account, that find nothing. Raises what refused even one person.
        """
        while True:
            both = ("user", "group")
            steps = [Step(f"p{n}_{what}", what, {"ref": f"{NOBODY}:{n}"}) for n in range(people) for what in both]
            answer = self._line.ask("severalPeople", steps)
            if answer.whole is None or answer.whole.code == NOT_FOUND:
                return people
            if people == 1:
                raise answer.whole
            people //= 2

    def _schema(self) -> GraphQLSchema | None:
        """The live schema as Pluvo shows it, asked for once."""
        from clients.pluvo import schema_check  # noqa: PLC0415

        if self._shown is not None:
            return self._shown
        answer = self._line.send(schema_check.INTROSPECTION)
        error = answer.whole
        if error is not None and (isinstance(error, Unavailable) or error.code == AUTH_REFUSED):
            raise error
        self._shown = schema_check.read_schema(answer.data)
        return self._shown

    def missing_scopes(self) -> list[str]:
        """Ask for a token and list the scopes we need that it lacks; [] when the answer does not say."""
        scope = self._line.fetch_token().get("scope")
        granted = scope.split() if isinstance(scope, str) else SCOPES
        return [needed for needed in SCOPES if needed not in granted]

    # ------------------------------------------------------------------------------------------------------- helpers

    def _fetch(self, name: str, operation: str, **values: Any) -> Callable[[str | None], Page]:
        def fetch(cursor: str | None) -> Page:
            answer = self._line.run(name, Step("page", operation, {**values, "after": cursor}))
            return answer.page("page")

        return fetch

    def _run_reads(self, name: str, *steps: Step) -> Answer:
        """Ask several things, again without those that do not exist when one of them spoilt the answer."""
        answer = self._line.run(name, *steps)
        while lost := answer.not_found_took_all:
            steps = tuple(step for step in steps if step.alias not in lost)
            answer = self._line.run(name, *steps)
        return answer

    def _read(self, name: str, step: Step, read: Callable[[Any], T]) -> T | None:
        return self._line.run(name, step).read(step.alias, read)

    def _undo(self, name: str, step: Step, read: Callable[[Any], bool]) -> tuple[bool, Rejected | None]:
        """Undo something; give whether Pluvo says it is done, and its word that something was not found."""
        try:
            return self._line.run(name, step).require(step.alias, read), None
        except Rejected as error:
            if error.code != NOT_FOUND:
                raise
            return False, error


def _failed_ids(value: Any) -> list[str]:
    return records.bulk(value["response"], "failed")


def _enrollment_step(user_id: str, offer_event_id: str) -> Step:
    return Step("enrollment", "enrollment", {"user_id": user_id, "offer_event_id": offer_event_id})
