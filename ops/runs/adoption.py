"""How people of AFAS would come to their accounts in a tenant's first run: person by person, nothing is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from typing_extensions import TypedDict

from models.direction import Direction
from ops.documents import PlannedLine, has_other_name
from ops.problems import Problem
from ops.runs import dry_run
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
    people: list[AdoptedPerson]


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
    people = list(_people(run["plan"]["lines"]))
    people += [
        AdoptedPerson(
            group="only_in_pluvo",
            internal_id=None,
            name=None,
            email=None,
            pluvo_id=one["pluvo_id"],
            pluvo_name=one["name"],
            pluvo_email=one["email"],
            reason=None,
        )
        for one in found["only_in_pluvo"]
    ]
    people.sort(key=lambda one: GROUPS.index(one["group"]))
    counts = {group: sum(one["group"] == group for one in people) for group in GROUPS}
    return {"tenant": slug, "counts": counts, "people": people}


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
