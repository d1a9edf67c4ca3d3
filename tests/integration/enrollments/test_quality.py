"""What is wrong with a tenant's data, from what runs stored."""

from __future__ import annotations

import pytest

from ops import access, quality
from ops.access import Actor, Role
from ops.language import SENTENCES
from ops.problems import NotThere, Problem
from ops.terminal import csv_file
from tests.fixtures.world import World

HOSTILE = '=HYPERLINK("http://example.org")'


def told(found: quality.Quality) -> list[tuple[str, str | None, str | None]]:
    return [(one["code"], one["event_id"], one["internal_id"]) for one in found["findings"]]


def test_every_row_that_can_not_be_used_is_told_with_its_event_and_person(world: World) -> None:
    # given
    world.person(80)
    world.person(81, email_primary="")
    world.person(82, email_primary="p82 example.nl", name=HOSTILE)
    world.person(83, name=" ")
    world.person(84)
    world.fault("afas", "contradicting", column="Naam", to="Dubbel", count=1, match={"operation": "page"})
    # when
    world.sync()
    found = quality.document("acme")
    # then
    assert told(found) == [
        ("no_email", "340", "81"),
        ("bad_email", "340", "82"),
        ("no_name", "340", "83"),
        ("duplicate", "340", "84"),
        ("no_rows", "341", None),
    ]
    assert found["counts"] == {"no_email": 1, "bad_email": 1, "no_name": 1, "duplicate": 1, "no_rows": 1}
    assert found["read_at"] is not None
    assert found["findings"][1]["value"] == "p82 example.nl"
    # when they are put right
    world.afas.change(340, 81, email_primary="p81@example.nl")
    world.sync()
    assert ("no_email", "340", "81") not in told(quality.document("acme"))


def test_a_shared_address_names_the_others_and_one_name_twice_is_perhaps_one_person(world: World) -> None:
    for number, name, email in (
        (80, "Piet Jansen", "samen@example.nl"),
        (81, "Karin Bos", "samen@example.nl"),
        (82, "Ada Vos", "ada@example.nl"),
        (83, "Ada Vos", "ADA@example.nl"),
    ):
        world.person(number, name=name, email_primary=email)
    world.sync()
    found = quality.document("acme")
    shared = {
        one["internal_id"]: (one["code"], one["params"]) for one in found["findings"] if "others" in one["params"]
    }
    assert shared == {
        "80": ("shared_email", {"others": "81"}),
        "81": ("shared_email", {"others": "80"}),
        "82": ("double_person", {"others": "83"}),
        "83": ("double_person", {"others": "82"}),
    }


def test_an_account_of_clearly_another_name_is_told_with_both(world: World) -> None:
    world.person(80, name="Piet Jansen")
    world.pluvo.add_user("p80@example.nl", "Karin Bos")
    world.person(81, name="P. de Vries")
    world.pluvo.add_user("p81@example.nl", "Piet de Vries")
    world.sync()
    (one,) = [one for one in quality.document("acme")["findings"] if one["code"] == "other_name"]
    assert quality.told(one).say("en") == (
        "The account with this address is called Karin Bos, in AFAS the person is called Piet Jansen."
    )


def test_a_row_that_is_nobodys_is_told_and_what_its_event_suffers(world: World) -> None:
    world.person(80)
    world.sync()
    world.afas.change(340, 80, shown={"internal_id": "80a"})
    world.sync()
    codes = {one["code"] for one in quality.document("acme")["findings"]}
    assert {"no_internal_id", "unidentified"} <= codes


def test_a_tenant_that_was_never_read_has_nothing_to_tell(world: World) -> None:
    found = quality.document("acme")
    assert (found["read_at"], found["findings"]) == (None, [])


def test_pages_hold_each_finding_once_also_where_many_are_about_the_same(world: World) -> None:
    for number in range(80, 90):
        world.person(number, email_primary="")
    world.sync()
    found = quality.document("acme")
    found["findings"][:0] = [found["findings"][0]] * 5
    seen = 0
    cursor: str | None = None
    while True:
        part = quality.page(found, 4, cursor, code="no_email")
        seen += len(part["items"])
        cursor = part["next"]
        if cursor is None:
            break
    assert seen == 15
    with pytest.raises(Problem, match="A code is one of"):
        quality.page(found, code="nonsense")


def test_a_spreadsheet_gets_sentences_and_runs_no_formula(world: World) -> None:
    world.person(82, email_primary="=1+1", name=HOSTILE)
    world.sync()
    found = quality.document("acme")
    text = "".join(csv_file.lines(quality.COLUMNS, quality.table(found, "nl"), "nl"))
    assert text.startswith("\ufeffcode;event_id;internal_id")
    assert "'=HYPERLINK" in text
    assert "geen e-mailadres" in text
    without = quality.table(found, "nl", people=False)
    assert [(row["name"], row["value"]) for row in without] == [(None, None)] * len(without)


@pytest.mark.parametrize("code", quality.CODES)
def test_every_code_has_words_for_what_is_wrong_and_what_to_do(code: str) -> None:
    about: quality.Finding = {
        "code": code, "event_id": None, "internal_id": None, "external_id": None, "name": None, "value": None,
        "params": {}, "since": None,
    }  # fmt: skip
    for words in (quality.told(about), quality.to_do(about)):
        assert words.code in SENTENCES
    assert f"quality_kind.{code}" in SENTENCES


def test_nobody_reads_the_data_of_a_tenant_that_is_not_theirs(world: World) -> None:
    with access.acting(Actor("eva", Role.ADMIN, frozenset({"beta"}))), pytest.raises(NotThere):
        quality.document("acme")
