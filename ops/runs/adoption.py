"""How people of AFAS would come to their accounts in a tenant's first run: person by person, nothing is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from typing_extensions import TypedDict

from models.direction import Direction
from ops.documents import PlannedLine, Values, has_other_name
from ops.problems import Problem
from ops.runs import dry_run
from ops.runs.spool import Spool
from producers.enrollments.plan_lines import PLANNED

# The first to be looked at first; ``other_name`` are those of ``by_email`` whose account has another name.
GROUPS = ("other_name", "ambiguous", "shared", "by_email", "by_afas_id", "by_operator", "to_create", "only_in_pluvo")


class AdoptedPerson(TypedDict):
    """Somebody of AFAS with their account; of ``ambiguous`` with several, of ``only_in_pluvo`` the account alone.

    Of ``by_operator`` the account has no id here: `koppeling links show` has it.
    """

    group: str
    internal_id: str | None
    name: str | None
    email: str | None
    pluvo_id: str | None
    pluvo_name: str | None
    pluvo_email: str | None
    reason: str | None


class AdoptionReport(TypedDict):
    """``people``: each once, accounts that stay as they are last. ``counts``: of each group."""

    tenant: str
    counts: dict[str, int]
    people: Sequence[AdoptedPerson]


def adoption(slug: str) -> AdoptionReport:
    """Read both sides and match.

    Raises Problem when AFAS or Pluvo can't be read, or when the first run has been.
    """
    (run,) = dry_run.document(Direction.ENROLLMENTS, [slug], everyone=False, options={})["runs"]
    if run["status"] != "dry_run":
        raise Problem("unread", slug=slug, why=run["reason"] or run["status"])
    found = run.get("adoption")
    if found is None:
        raise Problem("first_run_was", slug=slug)
    spool, occurred = Spool(), Counter[str]()
    people = spool.keep(_counted(chain(_people(run["plan"]["lines"]), map(_alone, found["only_in_pluvo"])), occurred))
    by_group = (one for group in GROUPS if occurred[group] for one in people if one["group"] == group)
    counts = {group: occurred[group] for group in GROUPS}
    return {"tenant": slug, "counts": counts, "people": spool.keep(by_group)}


def first_of_each(found: AdoptionReport, most: int) -> dict[str, list[AdoptedPerson]]:
    """So many people of each group: what is shown where a file would have all."""
    told: dict[str, list[AdoptedPerson]] = {group: [] for group in GROUPS}
    for one in found["people"]:
        if len(told[one["group"]]) < most:
            told[one["group"]].append(one)
    return told


def _counted(people: Iterable[AdoptedPerson], occurred: Counter[str]) -> Iterator[AdoptedPerson]:
    for one in people:
        occurred[one["group"]] += 1
        yield one


def _alone(account: Values) -> AdoptedPerson:
    return AdoptedPerson(
        group="only_in_pluvo",
        internal_id=None,
        name=None,
        email=None,
        pluvo_id=account["pluvo_id"],
        pluvo_name=account["name"],
        pluvo_email=account["email"],
        reason=None,
    )


def _people(lines: Iterable[PlannedLine]) -> Iterator[AdoptedPerson]:
    """Each person once, whatever number of events they are in."""
    told: set[str | None] = set()
    for line in lines:
        if line["internal_id"] in told or not (line["action"] in ("link", "create") or line["outcome"] == "ambiguous"):
            continue
        told.add(line["internal_id"])
        before, after = line["before"] or {}, line["after"] or {}
        group = _group(line)
        known = group == "by_operator" or before.get("pluvo_id")
        accounts = before.get("candidates") or ([before] if known else [])
        yield AdoptedPerson(
            group=group,
            internal_id=line["internal_id"],
            name=after.get("name"),
            email=after.get("email"),
            pluvo_id=", ".join(str(one["pluvo_id"]) for one in accounts if one.get("pluvo_id")) or None,
            pluvo_name=", ".join(str(one.get("name")) for one in accounts) or None,
            pluvo_email=", ".join(str(one.get("email")) for one in accounts) or None,
            reason=line["reason"],
        )


def _group(line: PlannedLine) -> str:
    reason = line["reason"] or ""
    if line["outcome"] == "ambiguous":
        return "ambiguous"
    if line["action"] == "create":
        return "to_create"
    if reason.startswith("same_person_as:"):
        return "shared"
    if reason == "by_email":
        return "other_name" if has_other_name(line) else "by_email"
    return "by_operator" if reason == PLANNED else "by_afas_id"
