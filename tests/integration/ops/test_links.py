"""What operators decide about links is remembered; a file of links is taken whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ops.people import links, links_import
from ops.people.explain import explain
from ops.problems import AlreadyDecided, FileProblems, Problem
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar

ONE, TWO = "0b0e1f00-0000-4000-8000-000000000001", "0b0e1f00-0000-4000-8000-000000000002"


def test_a_link_may_be_set_before_the_person_was_seen(acme: int) -> None:
    assert links.set_link("acme", "80", ONE, who="tester") == "linked"
    assert links.set_link("acme", "80", ONE, who="tester") == "unchanged"
    (item,) = links.listing(tenant="acme").items
    assert (item["internal_id"], item["pluvo_id"], item["state"], item["linked_by"]) == (
        "80",
        ONE,
        "linked",
        "operator",
    )
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'links set'") == 1


def test_a_moved_link_forgets_what_the_other_account_was_told(acme: int) -> None:
    # given
    enrollment = add_enrollment(acme, "80", applied_version=2)
    links.set_link("acme", "80", ONE, who="tester")
    run_sql("UPDATE link SET created_by_us = true, ref = 'r'")
    run_sql("UPDATE enrollment SET applied_version = 2, state = 'enrolled' WHERE id = :id", id=enrollment)
    # when
    assert links.set_link("acme", "80", TWO, who="tester") == "moved"
    # then the new account is not one of ours, and is told everything in the next run
    assert scalar("SELECT created_by_us FROM link") is False
    assert scalar("SELECT ref FROM link") is None
    assert scalar("SELECT applied_version FROM enrollment") is None
    assert scalar("SELECT state FROM enrollment") == "new"


def test_decisions_about_an_ambiguous_person(acme: int) -> None:
    add_enrollment(acme, "80")
    run_sql("INSERT INTO link (tenant_id, person_id, state) SELECT :t, id, 'ambiguous' FROM person", t=acme)
    # create: still without an account, but decided
    assert links.decide("acme", "80", "create", None, who="tester") == "decided"
    assert scalar("SELECT decision FROM link") == "create"
    # ignore
    links.decide("acme", "80", "ignore", None, who="tester")
    assert scalar("SELECT state FROM link") == "ignored"
    # link ends both
    links.decide("acme", "80", "link", ONE, who="tester")
    assert (scalar("SELECT state FROM link"), scalar("SELECT decision FROM link")) == ("linked", "link")
    assert len(links.show("acme", "80")["history"]) == 3


def test_somebody_linked_is_not_given_a_second_account(acme: int) -> None:
    links.set_link("acme", "80", ONE, who="tester")
    with pytest.raises(Problem, match="is linked to"):
        links.decide("acme", "80", "create", None, who="tester")
    assert scalar("SELECT pluvo_id FROM link") == ONE


@pytest.mark.parametrize(("decision", "account"), [("link", None), ("create", ONE), ("marry", None)])
def test_an_incomplete_decision_is_refused(acme: int, decision: str, account: str | None) -> None:
    add_enrollment(acme, "80")
    with pytest.raises(Problem):
        links.decide("acme", "80", decision, account, who="tester")


def test_whoever_was_to_get_a_new_account_can_be_given_an_existing_one(acme: int) -> None:
    links.set_link("acme", "80", TWO, who="tester")
    run_sql("UPDATE link SET created_by_us = true, archived = true")
    links.decide("acme", "80", "ignore", None, who="tester")
    links.decide("acme", "80", "create", None, who="tester")
    assert scalar("SELECT pluvo_id FROM link") is None
    assert links.set_link("acme", "80", ONE, who="tester") == "linked"
    assert scalar("SELECT pluvo_id FROM link WHERE NOT created_by_us AND NOT archived") == ONE


@pytest.mark.parametrize("account", ["p.jansen@example.nl", "", "a b", "x" * 65])
def test_an_account_is_named_by_its_id(acme: int, account: str) -> None:
    with pytest.raises(Problem, match="is no Pluvo id"):
        links.set_link("acme", "80", account, who="tester")
    assert scalar("SELECT count(*) FROM person") == 0


def test_removing_a_link_keeps_the_person_and_erasing_does_not(acme: int) -> None:
    add_dead_letter(acme, add_enrollment(acme, "80"))
    links.set_link("acme", "80", ONE, who="tester")
    assert links.remove("acme", "80", erase=False, who="tester") == {"link": 1}
    assert scalar("SELECT count(*) FROM person") == 1
    gone = links.remove("acme", "80", erase=True, who="tester")
    assert gone["person"] == gone["enrollment"] == gone["dead_letter"] == 1
    # who was erased is named nowhere any more
    assert "80" not in [
        scalar("SELECT max(subject) FROM operator_action"),
        scalar("SELECT max(internal_id) FROM person"),
    ]


def test_a_file_of_links_is_imported(acme: int, tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text(f"tenant;internal_id;pluvo_id\r\nacme;80;{ONE}\r\n\r\nacme;0081;{TWO}\r\n", encoding="utf-8-sig")
    assert links_import.run(file, who="tester") == {"linked": 2, "moved": 0, "unchanged": 0}
    assert links_import.run(file, who="tester") == {"linked": 0, "moved": 0, "unchanged": 2}
    assert [item["internal_id"] for item in links.listing().items] == ["80", "81"]


def test_ids_that_went_through_a_spreadsheet_are_the_same_people(acme: int, tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text(f"tenant,internal_id,pluvo_id\nacme,1001.0,{ONE.upper()}\nacme,00080,{TWO}\n")
    assert links_import.run(file, who="tester") == {"linked": 2, "moved": 0, "unchanged": 0}
    assert {(item["internal_id"], item["pluvo_id"]) for item in links.listing().items} == {("1001", ONE), ("80", TWO)}
    # and whoever asks for them may write them so too
    assert links.show("acme", "001001")["pluvo_id"] == ONE
    # the same person twice is found whatever the spelling
    file.write_text(f"tenant,internal_id,pluvo_id\nacme,80,{ONE}\nacme,80.0,{TWO}\n")
    with pytest.raises(FileProblems, match="is in line 2 already"):
        links_import.run(file, who="tester")


@pytest.mark.parametrize("internal_id", ["1.001", "p80@example.nl", "8 0", "", "0", "\u0668\u0660", "1e3"])
def test_what_is_no_internal_id_is_refused_at_once(acme: int, internal_id: str) -> None:
    for verb in (
        lambda: links.set_link("acme", internal_id, ONE, who="tester"),
        lambda: links.decide("acme", internal_id, "create", None, who="tester"),
        lambda: links.show("acme", internal_id),
    ):
        with pytest.raises(Problem, match="is no internal id"):
            verb()
    assert scalar("SELECT count(*) FROM person") == 0


def test_a_file_with_a_wrong_line_is_not_imported_at_all(acme: int, tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    lines = [f"acme,80,{ONE}", f"nope,81,{TWO}", f"acme,80,{TWO}"]
    file.write_text("\n".join(["tenant,internal_id,pluvo_id", *lines]))
    with pytest.raises(FileProblems) as caught:
        links_import.run(file, who="tester")
    assert [line.split("links.csv:")[1] for line in caught.value.lines] == [
        "3: there is no tenant 'nope'",
        "4: acme 80 is in line 2 already",
    ]
    assert scalar("SELECT count(*) FROM link") == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ":1: the header is"),
        ("a,b,c\n", ":1: the header is"),
        ("tenant,internal_id,pluvo_id\nacme,80\n", ":2: needs three values"),
        ("tenant,internal_id,pluvo_id\nacme,80,p@example.nl\n", ":2: 'p@example.nl' is no Pluvo id"),
        ("tenant,internal_id,pluvo_email\nacme,80,nobody\n", ":2: is no e-mail address"),
        ("tenant,internal_id,pluvo_id\nacme,1.001,0b0e0000\n", ":2: '1.001' is no internal id"),
        ("tenant,internal_id,pluvo_id\nacme,p@example.nl,0b0e0000\n", ":2: 'p@example.nl' is no internal id"),
        ("tenant,internal_id,pluvo_email\nacme,1.001,p@example.nl\n", ":2: '1.001' is no internal id"),
        ("tenant,internal_id,pluvo_email\nacme,1E+03,p@example.nl\n", ":2: '1E+03' is no internal id"),
        ("tenant,internal_id,pluvo_id\nac\0me,80,0b0e0000\n", ":2: there is no tenant"),
        ('tenant,internal_id,pluvo_id\n"acme', ":2: is no line of CSV"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_line(acme: int, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "links.csv"
    file.write_text(content)
    with pytest.raises(FileProblems) as caught:
        links_import.run(file, who="tester")
    assert said in caught.value.lines[0]


def test_a_link_that_somebody_set_since_it_was_looked_at_is_not_removed(acme: int) -> None:
    # given
    links.set_link("acme", "80", ONE, who="anna")
    seen = revision()
    # when somebody else puts it right first
    links.set_link("acme", "80", TWO, who="bert")
    with pytest.raises(AlreadyDecided, match="bert decided about 80 first"):
        links.remove("acme", "80", erase=False, who="anna", seen=seen)
    # then it stays, and goes once it was looked at
    assert links.show("acme", "80")["pluvo_id"] == TWO
    links.remove("acme", "80", erase=False, who="anna", seen=revision())
    assert links.show("acme", "80")["pluvo_id"] is None


def test_a_link_that_was_removed_and_made_anew_is_not_the_one_that_was_looked_at(acme: int) -> None:
    links.set_link("acme", "80", ONE, who="anna")
    seen = revision()
    links.remove("acme", "80", erase=False, who="bert")
    links.set_link("acme", "80", TWO, who="bert")
    with pytest.raises(AlreadyDecided, match="bert decided about 80 first"):
        links.decide("acme", "80", "ignore", None, who="anna", seen=seen)
    assert links.show("acme", "80")["pluvo_id"] == TWO


def test_a_person_who_is_linked_by_now_is_not_moved_unless_somebody_says_so(acme: int) -> None:
    assert links.set_link("acme", "80", ONE, who="anna", move=False) == "linked"
    with pytest.raises(AlreadyDecided, match=f"80 of acme is linked to {ONE}: anna was first, at "):
        links.set_link("acme", "80", TWO, who="bert", move=False)
    assert links.set_link("acme", "80", ONE, who="bert", move=False) == "unchanged"
    assert links.set_link("acme", "80", TWO, who="bert") == "moved"


def revision() -> int:
    """That of the link as somebody sees it who looks at the person now."""
    link = explain("acme", "80")["people"][0]["link"]
    assert link is not None
    return int(link["revision"])


def test_two_files_with_the_same_new_people_do_not_wait_for_each_other(acme: int, tmp_path: Path) -> None:
    # given the same people in opposite orders
    lines = [f"acme,{number},{ONE[:-4]}{number}" for number in range(1000, 1300)]
    done: list[dict[str, int]] = []

    def run(name: str, those: list[str]) -> None:
        file = tmp_path / name
        file.write_text("\n".join(["tenant,internal_id,pluvo_id", *those]))
        done.append(links_import.run(file, who=name))

    # when
    threads = [threading.Thread(target=run, args=one) for one in (("a.csv", lines), ("b.csv", lines[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then
    assert sorted(one["linked"] for one in done) == [0, 300]
