"""Show a plan: counts first, then who, by event and action, before and after; or all of it as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.outcomes import AT_REST
from ops.documents import Adoption, Batch, PlannedLine, RunDocument, Values, has_other_name
from ops.language import Language
from ops.terminal import csv_file, output

SHOWN_OF_A_GROUP = 25
CSV_COLUMNS = ("tenant", "event_id", "internal_id", "action", "outcome", "reason", "before", "after")
_ADOPTION = {
    "by_afas_id": "linked by AFAS id",
    "by_email": "linked by e-mail",
    "shared": "share an account with somebody of the same name",
    "to_create": "get a new account",
    "ambiguous": "wait for your decision",
}


WHY_UNLINKED = {
    "target_unknown": "Pluvo does not know the target yet; it is linked by itself once it does",
    "target_unasked": "Pluvo could not be asked whether it knows the target",
    "column_missing": "the GetConnector lacks a column that the rule names",
    "column_empty": "its rows say nothing in a column that the rule names",
    "column_differs": "its rows say different things in a column that the rule names",
    "value_unusable": "what its rows say is too long for a ref or a title",
    "no_rule": "no rule covers it, and it has no block of its own",
    "next_run": "the next run links it, or changes it to what the rule says now",
    "no_rows": "the GetConnector gives no rows for it",
}


def show_plans(document: Batch) -> None:
    """Print the plans of a batch."""
    for number, run in enumerate(document["runs"]):
        if number:
            output.say("")
        _show_plan(run)


def _show_plan(run: RunDocument) -> None:
    output.say(f"{run['tenant']}: {run['status']}, snapshot {run['snapshot'] or '-'}, {run['rows']} rows read")
    if run["reason"] or run["reasons"]:
        output.say(f"  because: {', '.join(filter(None, [run['reason'], *run['reasons']]))}")
    counts = output.counts(run["outcomes"])
    removals = (
        (run["removed"], "to be removed"),
        (run["held_removals"], "removals held"),
        (run["pending_removals"], "not confirmed yet"),
    )
    counts += [f"{number} {words}" for number, words in removals if number]
    output.say(f"  {', '.join(counts) or 'nothing to do'}")
    _show_adoption(run.get("adoption"))
    others, groups = _Group(), dict[tuple[str, str, str], _Group]()
    for line in run["plan"]["lines"]:
        if has_other_name(line):
            others.add(line)
        elif line["action"] != "none" or line["outcome"] not in AT_REST:
            groups.setdefault((str(line["event_id"]), line["action"], line["outcome"]), _Group()).add(line)
    if others.count:
        _show_group("linked by e-mail, and the account has another name: look at these first", others)
    for (event, action, outcome), group in groups.items():
        _show_group(f"event {event}, {action} → {outcome}", group)
    if run["plan"]["hash"]:
        output.say(f"  plan {run['plan']['hash'][:16]}")


@dataclass
class _Group:
    """Lines that are told together: the first ones, and how many there are."""

    first: list[PlannedLine] = field(default_factory=list)
    count: int = 0

    def add(self, line: PlannedLine) -> None:
        self.count += 1
        if self.count <= SHOWN_OF_A_GROUP:
            self.first.append(line)


def _show_group(heading: str, group: _Group) -> None:
    output.say(f"  {heading}: {group.count}")
    for line in group.first:
        reason = f"  ({line['reason']})" if line["reason"] else ""
        output.say(f"    {line['internal_id'] or '-'}  {difference(line['before'], line['after'])}{reason}")
    if group.count > SHOWN_OF_A_GROUP:
        output.say(f"    … and {group.count - SHOWN_OF_A_GROUP} more (--csv FILE or --json shows all)")


def difference(before: Values | None, after: Values | None) -> str:
    """What changes: ``email: a@example.nl → b@example.nl``."""
    return ", ".join(_parts(before or {}, after or {}))


def _parts(before: Values, after: Values) -> Iterator[str]:
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if key not in before:
            yield f"{key}: {output.shown(new)}"
        elif key not in after:
            yield f"{key}: {output.shown(old)} → -" if not after else f"{key}: {output.shown(old)}"
        elif old != new:
            yield f"{key}: {output.shown(old)} → {output.shown(new)}"


def empty_events(run: RunDocument) -> Iterator[str]:
    """Where AFAS gave nothing for an event: a line for each, after the numbers of all."""
    rows = {str(one["event_id"]): number for one in run["courses"] if (number := one.get("rows")) is not None}
    empty = [event for event, count in rows.items() if count == 0]
    if not empty:
        return
    told = [f"{event}: {count}" for event, count in sorted(rows.items(), key=lambda one: one[1] > 0)]
    more = f" and {len(told) - SHOWN_OF_A_GROUP} more" if len(told) > SHOWN_OF_A_GROUP else ""
    yield f"{run['tenant']}: rows per event {', '.join(told[:SHOWN_OF_A_GROUP])}{more}"
    by_rule = {str(one["event_id"]) for one in run["courses"] if one.get("by_rule")}
    for event in empty[:SHOWN_OF_A_GROUP]:
        why = "A course rule linked it when there were some." if event in by_rule else "Is event_id right?"
        yield f"{run['tenant']}: event {event}: the GetConnector gives no rows for it. {why}"


def unlinked_events(run: RunDocument) -> Iterator[str]:
    """What of the rules' events waits: a line for each reason."""
    for why, waiting in run["unlinked"].items():
        events, people = waiting["events"], waiting["people"]
        whom = "1 person" if people == 1 else f"{people} people"
        some = f"{events} event{'s' * (events != 1)} of course rules with {whom} wait{'s' * (events == 1)}"
        yield f"{run['tenant']}: {some}: {WHY_UNLINKED.get(why, why)}"
    if run["unlinked"]:
        yield f"{run['tenant']}: `koppeling events {run['tenant']} --unlinked` names them"


def _show_adoption(adoption: Adoption | None) -> None:
    if not adoption:
        return
    output.say("  first run, people of AFAS and accounts in Pluvo:")
    counts: Mapping[str, Any] = adoption
    for key, words in _ADOPTION.items():
        output.say(f"    {counts[key]:>6} {words}")
    output.say(f"    {len(adoption['only_in_pluvo']):>6} accounts are only in Pluvo and stay untouched")


def write_csv(path: Path, document: Batch, language: Language) -> None:
    """Write every line of the plans."""
    lines = ({"tenant": run["tenant"], **line} for run in document["runs"] for line in run["plan"]["lines"])
    csv_file.write(path, CSV_COLUMNS, lines, language)
