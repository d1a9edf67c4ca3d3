"""Three tenants on both simulators, and people who change while everything breaks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.system import System
from ops.tenants import file, importing
from simulators.afas.tenant import AfasTenant
from simulators.pluvo.tenant import PluvoTenant
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import TENANTS, World, world

LIMITS = """\
[tenants.removals.limits]
event_count = 100000
run_count = 100000
window_count = 100000
creates_count = 100000
email_changes_count = 100000
"""
DAY = "2026-06-30"
NEXT_DAY = "2026-07-01"
Key = tuple[str, int, int]
"""(tenant, event, internal id)"""


def tenants_of(people: int) -> tuple[SampleTenant, ...]:
    """The three fictitious tenants with so many people in all: half, three tenths and a fifth."""
    return tuple(
        replace(tenant, people=max(25, round(people * share)))
        for tenant, share in zip(TENANTS, (0.5, 0.3, 0.2), strict=True)
    )


@dataclass
class Scene:
    """Who is where, and what AFAS must show of completions in the end."""

    system: System
    dice: random.Random
    tenants: tuple[SampleTenant, ...]
    finished: dict[Key, str] = field(default_factory=dict)
    accounts_at_start: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    known: dict[str, set[int]] = field(default_factory=dict)
    """Everyone who ever was in AFAS."""
    gone: list[tuple[SampleTenant, dict[str, Any]]] = field(default_factory=list)
    count: int = 0

    def begin(self) -> None:
        """Fill both simulators and import the tenants: guards wide open, new people invited."""
        made: World = world(self.tenants)
        self.system.afas.replace(made.afas.state()["tenants"])
        self.system.pluvo.replace(made.pluvo.state()["tenants"])
        text = made.tenants_toml(self.system.afas_url, self.system.pluvo_url)
        text = text.replace('completion_level = "', 'send_invite = true\ncompletion_level = "')
        limits = (f"calls_per_second = {rate}\npeople_per_call = {n}" for rate, n in ((0, 1), (10, 10), (6, 1)))
        unlimited, together, alone = limits
        text = text.replace(unlimited, together, 1)  # half of all people, who share calls for want of calls
        text = text.replace(unlimited, alone, 1)  # more of them are in hand than find a place in time
        text = text.replace('confirm_after = "0s"\n', f'confirm_after = "0s"\n{LIMITS}')
        path = self.system.home / "tenants.toml"
        path.write_text(text, encoding="utf-8")
        importing.apply(file.read(path), who="chaos")
        for tenant in self.tenants:
            self.accounts_at_start[tenant.slug] = {
                user["id"]: user for user in self.system.pluvo.state(tenant.slug)["users"]
            }
            self.known[tenant.slug] = {row.internal_id for row in self.afas(tenant).rows.values()}

    def afas(self, tenant: SampleTenant) -> AfasTenant:
        """A tenant's AFAS as it is now."""
        return AfasTenant.from_json(self.system.afas.state(tenant.member_id))

    def pluvo(self, tenant: SampleTenant) -> PluvoTenant:
        """A tenant's Pluvo as it is now."""
        return PluvoTenant.from_json(self.system.pluvo.state(tenant.slug))

    def stir(self, amount: int) -> None:
        """Rename, move, remove, enroll and bring back people, ``amount`` of each per tenant."""
        for tenant in self.tenants:
            rows = list(self.afas(tenant).rows.values())
            for _ in range(amount):
                self.count += 1
                who = self.dice.choice(rows).internal_id
                self._change(tenant, who, "rename", name=f"Naam {self.count} de Vries")
                who = self.dice.choice([row for row in rows if row.email_primary]).internal_id
                self._change(tenant, who, "set_email", email=f"verhuisd.{self.count}@example.nl")
                self._come(tenant)
            self._leave(tenant, amount)

    def _change(self, tenant: SampleTenant, who: int, op: str, **values: str) -> None:
        """Change somebody everywhere: also where they left, for AFAS has one name and address a person."""
        self._afas(tenant, op, internal_id=who, **values)
        for owner, row in self.gone:
            if owner.slug == tenant.slug and row["internal_id"] == who:
                row.update({"name": values["name"]} if op == "rename" else {"email_primary": values["email"]})

    def _come(self, tenant: SampleTenant) -> None:
        number = 500_000 + self.count
        event = self.dice.choice(tenant.courses).event_id
        self._afas(
            tenant, "enroll", event_id=event, internal_id=number, external_id=f"{number:08}",
            name=f"Nieuw {number}", email_primary=f"nieuw.{number}@example.org",
        )  # fmt: skip
        self.known[tenant.slug].add(number)

    def _leave(self, tenant: SampleTenant, amount: int) -> None:
        """Take some out, and bring back some of those who went before. Who finished something stays."""
        back = [each for each in self.gone if each[0].slug == tenant.slug][:amount]
        for each in back:
            self.gone.remove(each)
            self._afas(tenant, "enroll", **each[1])
        rows = self.afas(tenant).rows.values()
        leaving = [row for row in rows if (tenant.slug, *row.key) not in self.finished]
        for row in self.dice.sample(leaving, min(amount, len(leaving))):
            self._afas(tenant, "remove", event_id=row.event_id, internal_id=row.internal_id)
            names = ("event_id", "internal_id", "external_id", "name", "email_primary", "email_secondary")
            self.gone.append((tenant, {name: getattr(row, name) for name in names}))

    def finish(self, amount: int) -> None:
        """Let people who are enrolled in Pluvo finish, late in the evening of 30 June in London."""
        for tenant in self.tenants:
            afas, pluvo = self.afas(tenant), self.pluvo(tenant)
            rows = [r for r in afas.rows.values() if (tenant.slug, *r.key) not in self.finished and address(r)]
            for row in self.dice.sample(rows, min(amount, len(rows))):
                course = next(course for course in tenant.courses if course.event_id == row.event_id)
                user = pluvo.find_user(email=address(row))
                level = course.level.upper()
                if user is None or (user["id"], level, course.title) not in pluvo._row_of:
                    continue  # not there yet: nobody finishes what they can't see
                at = f"{DAY}T22:30:00.000Z"
                self.system.pluvo.do(
                    tenant.slug, "complete", user_id=user["id"], title=course.title, at=at, level=level
                )
                shown = "01-07-2026" if tenant.completion_type == "text" else NEXT_DAY
                self.finished[tenant.slug, row.event_id, row.internal_id] = shown

    def _afas(self, tenant: SampleTenant, op: str, **arguments: Any) -> None:
        self.system.afas.do(tenant.member_id, op, **arguments)


def address(row: Any) -> str:
    """The address that counts of an AFAS row, folded."""
    return ((row.email_primary or "").strip() or (row.email_secondary or "").strip()).casefold()
