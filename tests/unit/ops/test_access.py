"""Roles are ordered, every verb has one, and who sees some tenants is told nothing of the others."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ops
from models.role import Role
from ops import access
from ops.access import NEEDS, NOBODY, Actor, acting
from ops.problems import Forbidden, NotThere

FOLDER = Path(ops.__file__).parent
ASKED = {"access.check", "access.need", "access.may"}


def named() -> Iterator[tuple[str, str]]:
    """(file:line, verb) of every verb that is recorded, or asked for, by name."""
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            place = f"{path.relative_to(FOLDER)}:{node.lineno}"
            if ast.unparse(node.func) in ASKED:
                for word in ast.walk(node.args[0]):
                    if isinstance(word, ast.Constant) and "." in str(word.value):
                        yield place, str(word.value)
            for keyword in node.keywords:
                if keyword.arg == "verb" and isinstance(keyword.value, ast.Constant):
                    yield place, access.verb_of(str(keyword.value.value))


def test_every_verb_that_is_recorded_or_asked_for_has_a_role() -> None:
    found = list(named())
    assert len(found) > 30
    assert {place: verb for place, verb in found if verb not in NEEDS} == {}


def test_roles_are_ordered_by_what_they_may() -> None:
    assert sorted([Role.ADMIN, Role.VIEWER, Role.OPERATOR]) == [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    assert max(Role) == Role.ADMIN
    assert Role.VIEWER < Role.OPERATOR <= Role.OPERATOR < Role.ADMIN
    assert Role.ADMIN > Role.OPERATOR >= Role.OPERATOR > Role.VIEWER
    assert not Role.ADMIN < Role.VIEWER
    assert not Role.VIEWER >= Role.OPERATOR


def test_at_a_terminal_its_user_may_everything() -> None:
    assert access.actor() == Actor(access.current_user(), Role.ADMIN, None)
    assert access.visible() is None
    for verb in NEEDS:
        access.check(verb, "acme")
        access.check(verb, None)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_what_it_reaches_and_nothing_more(role: Role) -> None:
    with acting(Actor("anna", role)):
        for verb, needed in NEEDS.items():
            assert access.may(verb, "acme") == (role >= needed), verb
            if role < needed:
                with pytest.raises(Forbidden, match="anna is"):
                    access.check(verb, "acme")


def test_a_tenant_one_may_not_see_is_told_like_one_that_is_not_there() -> None:
    with acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))):
        access.check("tenants.edit", "acme")
        for verb in NEEDS:
            with pytest.raises(NotThere) as raised:
                access.check(verb, "beta")
            assert str(raised.value) == str(access.no_tenant("'beta'"))


def test_what_concerns_all_tenants_is_for_who_sees_all() -> None:
    with acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))):
        access.check("holds.read", None)
        for verb in ("users.add", "tokens.create", "tenants.add", "tenants.rotate_keys", "alerts.test"):
            with pytest.raises(Forbidden, match="all tenants"):
                access.check(verb, None)


def test_nobody_sees_and_may_nothing() -> None:
    with acting(NOBODY):
        assert access.visible() == []
        assert not access.may("tenants.read", "acme")
        assert not access.may("runs.stop")


def test_who_acts_is_forgotten_after_the_block_and_unknown_to_other_threads() -> None:
    seen = []
    with acting(Actor("anna", Role.VIEWER)), acting(Actor("bob", Role.OPERATOR)):
        thread = threading.Thread(target=lambda: seen.append(access.actor().name))
        thread.start()
        thread.join()
        assert access.actor().name == "bob"
    assert access.actor().name == access.current_user() == seen[0]


def test_a_verb_that_nobody_gave_a_role_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        access.check("holds.releese", "acme")
