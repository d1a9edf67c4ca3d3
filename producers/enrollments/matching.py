"""Who is who: which Pluvo account belongs to an AFAS person. Pure; the only place where links are decided.

Order for someone without a link: an AFAS id set beforehand, then the same address, then a new account. Whatever is not
certain is ``ambiguous`` and waits for an operator, with its candidates. A link never moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from models.afas_values import person_number
from models.folding import clearly_other_name, fold_email, fold_name
from models.person import LinkedBy, LinkState


def id_order(internal_id: str) -> tuple[int, str]:
    """Sorts ids as AFAS counts them: 9 before 10."""
    return (len(internal_id), internal_id)


class ShownAccount(TypedDict):
    """A Pluvo account as the operator who decides sees it."""

    pluvo_id: str | None
    name: str | None
    email: str | None
    archived: bool
    linked_to: str | None


@dataclass(frozen=True)
class Candidate:
    """A Pluvo account that may be the person's. ``linked_to``: the AFAS person it is linked to, if any.

    ``elsewhere``: another tenant of the same Pluvo organisation has a person with this account.
    """

    pluvo_id: str
    email: str | None = None
    name: str | None = None
    ref: str | None = None
    archived: bool = False
    afas_person_id: str | None = None
    afas_contact_id: str | None = None
    linked_to: str | None = None
    elsewhere: bool = False

    def shown(self) -> ShownAccount:
        """For the operator who decides."""
        return {
            "pluvo_id": self.pluvo_id or None,
            "name": self.name,
            "email": self.email,
            "archived": self.archived,
            "linked_to": self.linked_to,
        }


@dataclass(frozen=True)
class Peer:
    """Another AFAS person with the same address. ``pluvo_id`` when they have an account already."""

    internal_id: str
    name: str | None
    pluvo_id: str | None = None


@dataclass(frozen=True)
class MatchInput:
    """All that decides about one person without a link."""

    internal_id: str
    name: str
    email: str
    our_ref: str
    decision: str | None = None
    by_afas_id: Sequence[Candidate] = ()
    by_ref: Sequence[Candidate] = ()
    by_email: Sequence[Candidate] = ()
    # Accounts with an address that is another one, but looks alike
    alike: Sequence[Candidate] = ()
    peers: Sequence[Peer] = ()
    # Linked people who give up this very address in this run: {internal id}
    moving_away: frozenset[str] = frozenset()
    # Pluvo has a user whom it can't read and who may have this address
    unread: bool = False
    # The tenant's setting: an account with the address and clearly another name is for an operator
    other_name_waits: bool = False


@dataclass(frozen=True)
class Match:
    """``create``, ``link`` (with the account), ``share`` (the account of another person) or ``ambiguous``."""

    action: str
    reason: str | None = None
    linked_by: LinkedBy | None = None
    candidate: Candidate | None = None
    share_with: str | None = None
    # Must have given up the address first.
    after: str | None = None
    candidates: Sequence[Candidate] = field(default=())


def ambiguous(reason: str, candidates: Sequence[Candidate]) -> Match:
    """Waits until an operator decides."""
    return Match("ambiguous", reason=reason, candidates=candidates)


def match(given: MatchInput) -> Match:
    """Decide about one person without a link."""
    if given.decision == "create":
        return _as_decided(given)
    if sure := _by_our_ref(given) or _by_afas_id(given):
        return sure
    if given.unread:
        return ambiguous("account_unreadable", given.by_email)
    if found := _by_email(given) or _by_peer(given):
        return found
    # ß and ss, É and é: two mailboxes for a mail server, and perhaps one for the person who typed them.
    return ambiguous("similar_email", given.alike) if given.alike else Match("create")


def _free(candidate: Candidate, given: MatchInput) -> bool:
    if candidate.linked_to is None:
        return not candidate.elsewhere
    return candidate.linked_to == given.internal_id


def _as_decided(given: MatchInput) -> Match:
    """An operator wants a new account. It can only be made once the address is free."""
    if ours := _by_our_ref(given):
        return ours
    staying = [candidate for candidate in given.by_email if candidate.linked_to not in given.moving_away]
    if staying:
        return ambiguous("email_taken", staying)
    after = next((candidate.linked_to for candidate in given.by_email), None)
    return Match("create", reason="operator", after=after)


def _by_our_ref(given: MatchInput) -> Match | None:
    """An account that carries our own ref was made by us for this very person: the answer got lost then."""
    mine = (None, given.internal_id)
    ours = [candidate for candidate in given.by_ref if candidate.ref == given.our_ref and candidate.linked_to in mine]
    return Match("link", linked_by=LinkedBy.CREATED, candidate=ours[0]) if ours else None


def _by_afas_id(given: MatchInput) -> Match | None:
    found = [candidate for candidate in given.by_afas_id if not _numbered_elsewhere(candidate, given.our_ref)]
    if not found:
        return None
    if len(found) > 1:
        return ambiguous("several_with_afas_id", found)
    if not _free(found[0], given):
        return ambiguous("candidate_taken", found)
    return Match("link", linked_by=LinkedBy.AFAS_ID, candidate=found[0])


def _by_email(given: MatchInput) -> Match | None:
    held = list(given.by_email)
    leaving = [candidate for candidate in held if candidate.linked_to in given.moving_away]
    held = [candidate for candidate in held if candidate not in leaving]
    if not held:
        if not leaving:
            return None
        return _by_peer(given) or Match("create", after=leaving[0].linked_to)
    if len(held) > 1:
        return ambiguous("several_with_email", held)
    candidate = held[0]
    if not _free(candidate, given):
        return _by_peer(given) or ambiguous("candidate_taken", held)
    if names_another(candidate.afas_contact_id, candidate.ref, given.internal_id, given.our_ref):
        return ambiguous("other_afas_id", held)
    return _by_peer(given, held) or _by_address_alone(given, candidate)


def _by_address_alone(given: MatchInput, candidate: Candidate) -> Match:
    if given.other_name_waits and clearly_other_name(candidate.name, given.name):
        return ambiguous("other_name", [candidate])
    return Match("link", linked_by=LinkedBy.EMAIL, candidate=candidate)


def _numbered_elsewhere(candidate: Candidate, our_ref: str) -> bool:
    """Whether an account's AFAS id is of another AFAS environment: each numbers its people from the beginning."""
    return (candidate.elsewhere and candidate.linked_to is None) or _of_another_member(candidate.ref, our_ref)


def _of_another_member(ref: str | None, our_ref: str) -> bool:
    """Whether a link like this one made the account for another AFAS member: ``afas:{member id}:{internal id}``."""
    parts = (ref or "").split(":")
    return len(parts) == 3 and parts[0] == "afas" and parts[1] != our_ref.split(":")[1]


def names_another(contact_id: str | None, ref: str | None, internal_id: str, our_ref: str) -> bool:
    """Whether an account says itself that it is another AFAS person's: by its contact id, or by a ref of ours."""
    if _of_another_member(ref, our_ref):
        return True
    if contact_id:
        return person_number(contact_id) != internal_id
    return (ref or "").startswith(our_ref.rpartition(":")[0] + ":") and ref != our_ref


def _by_peer(given: MatchInput, held: Sequence[Candidate] = ()) -> Match | None:
    """Several AFAS persons with one address: the one who has the account comes first, else the lowest id."""
    first = first_of(given.internal_id, given.peers)
    if first is None:
        return None
    if fold_name(first.name) == fold_name(given.name):
        return Match("share", linked_by=LinkedBy.EMAIL, share_with=first.internal_id)
    shown = held or [candidate for candidate in given.by_email if candidate.linked_to in (None, first.internal_id)]
    # Also when that account is still to be made: the operator must see whose it will be.
    theirs = Candidate(first.pluvo_id or "", given.email, first.name, linked_to=first.internal_id)
    return ambiguous("same_email", list(shown) or [theirs])


def first_of(internal_id: str, peers: Sequence[Peer]) -> Peer | None:
    """The peer who goes before this person, if any."""
    linked = [peer for peer in peers if peer.pluvo_id]
    if linked:
        return min(linked, key=lambda peer: id_order(peer.internal_id))
    lower = [peer for peer in peers if id_order(peer.internal_id) < id_order(internal_id)]
    return min(lower, key=lambda peer: id_order(peer.internal_id), default=None)


# ------------------------------------------------------------------------------------------ addresses changing hands


@dataclass(frozen=True)
class Move:
    """A linked person who wants an address.

    ``holder``: the linked person who has it; ``foreign``: an account without a link has it.
    """

    internal_id: str
    holder: str | None
    foreign: bool = False


@dataclass(frozen=True)
class MoveVerdict:
    """Whether a move can be done, after which person's, or why not (``email_taken``, ``email_cycle``)."""

    possible: bool
    after: str | None = None
    reason: str | None = None


def order_moves(moves: Mapping[str, Move], movers: frozenset[str] | set[str]) -> dict[str, MoveVerdict]:
    """Decide the moves that find their address taken.

    Args:
        moves: by internal id, only those whose new address is held by another account.
        movers: every linked person who gives up their present address in this run, held up or not.
    """
    verdicts: dict[str, MoveVerdict] = {}
    for start in moves:
        path: list[str] = []
        here: str | None = start
        while here is not None and here in moves and here not in verdicts and here not in path:
            path.append(here)
            here = moves[here].holder
        if here is not None and here in path:
            for member in path[path.index(here) :]:
                verdicts[member] = MoveVerdict(False, reason="email_cycle")
            path = path[: path.index(here)]
        for member in reversed(path):
            verdicts[member] = _after_holder(moves[member], verdicts, movers)
    return verdicts


def _after_holder(move: Move, verdicts: Mapping[str, MoveVerdict], movers: frozenset[str] | set[str]) -> MoveVerdict:
    holder = move.holder
    if move.foreign or holder is None or holder not in movers:
        return MoveVerdict(False, reason="email_taken")
    if holder in verdicts and not verdicts[holder].possible:
        return MoveVerdict(False, reason="email_taken")
    return MoveVerdict(True, after=holder)


def changes_email(applied: str | None, desired: str) -> bool:
    """Whether the address itself changes, not only its spelling."""
    return applied is not None and fold_email(applied) != fold_email(desired)


def takes_over(account: Candidate | None, name: str, email: str) -> bool:
    """Whether to link an account gives it another address, or clearly another person's name: it may be a stranger's."""
    if account is None:
        return False
    return changes_email(account.email or None, email) or clearly_other_name(account.name, name)


def is_linked(state: str | None, pluvo_id: str | None) -> bool:
    """Whether someone has an account of which we are sure (also of people who left, or who wait for an address)."""
    return pluvo_id is not None and state in (LinkState.LINKED, LinkState.LEFT, LinkState.AMBIGUOUS)
