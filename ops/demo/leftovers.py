"""What a kept demo leaves for its pages: something held, ambiguous, given up, stopped; and what a check found.

Done after both systems were compared with what they must hold, so nothing of it is in that comparison.
"""

from __future__ import annotations

from datetime import timedelta

from models.direction import Direction
from ops import tokens, users
from ops.demo import narration
from ops.demo.acts import REFUSES, Demo
from ops.problems import Problem
from ops.tenants import check, onboarding_store
from ops.tenants.onboarding import Draft

LEAVERS = slice(20, 26)


def leave(demo: Demo) -> None:
    """Let things go wrong as they do in a week, and leave them for whoever looks."""
    narration.act(
        "7. What a week leaves behind",
        "In delta six people vanish from an event at once: a guard holds that until somebody decides.",
        "In acme Pluvo refuses two newcomers, and nobody knows whose account a third one has.",
        "AFAS refuses borg's token: that direction stops by itself and is tried again now and then.",
    )
    delta, borg, acme = (demo.scripts[slug] for slug in ("delta", "borg", REFUSES))
    with delta.world.afas.lock:
        course = delta.tenant.courses[0]
        for somebody in delta.members(course)[LEAVERS]:
            delta.afas.remove(course.event_id, somebody.internal_id)
    for name in ("Wiebe", "Femke"):
        acme.refuse(acme.come(name))
    stranger = acme.come("Joris")
    with acme.world.pluvo.lock:
        acme.pluvo.add_user(stranger.email, "J. Nieuwenhuis", afasContactId="8888")
    with borg.world.afas.lock:
        borg.world.afas.faults.add(kind="status", tenant=borg.tenant.member_id, status=401)
    demo.run_batch(Direction.ENROLLMENTS)
    _who_comes_in()
    for slug in demo.scripts:
        try:
            check.check(slug)
        except Problem as problem:
            narration.say(f"   {slug}: {problem}")


def _who_comes_in() -> None:
    """A user who has no password yet, a token that nobody knows, and a customer whom somebody began to set up."""
    users.add("anna@example.nl", "operator", [REFUSES], None, who="demo")
    tokens.create("reports", "viewer", [REFUSES], timedelta(days=1), who="demo")
    draft = onboarding_store.give(Draft(), "slug", "nova", "demo")
    onboarding_store.give(draft, "name", "Nova Opleidingen", "demo")
