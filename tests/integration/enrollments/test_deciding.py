"""What an operator sees who decides whose account it is, and what AFAS says when it is asked about one person."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli.main import app
from ops.language import say
from ops.people import deciding, links, links_check, links_import
from ops.people.deciding import candidates
from ops.people.explain import explain
from ops.problems import AlreadyDecided, FileProblems, Problem
from tenancy import systems
from tenancy.call_slots import call_slot
from tests.fixtures.looking import outcomes, reasons
from tests.fixtures.world import World

NOWHERE = "0b0e1f00-0000-4000-8000-0000000000ff"


def ambiguous_pair(world: World) -> tuple[str, str]:
    """Person 80 with two accounts that may be theirs."""
    world.person(80, name="Piet Jansen", email_primary="piet@example.nl")
    one = world.pluvo.add_user("piet@example.nl", "Piet Jansen", afasContactId="7")
    two = world.pluvo.add_user("p.jansen@example.org", "P. Jansen", afasContactId="80")
    three = world.pluvo.add_user("oud@example.org", "Karin Bos", afasContactId="80", archived=True)
    assert reasons(world, world.sync())["80"] == ("ambiguous", "several_with_afas_id")
    return str(two["id"]), str(one["id"] if one else three["id"])


def choices(found: deciding.Deciding) -> dict[tuple[str, str | None], tuple[bool, str]]:
    return {(one["choice"], one["pluvo_id"]): (one["possible"], one["code"]) for one in found["choices"]}


def test_each_choice_says_what_follows_from_accounts_as_pluvo_has_them_now(world: World) -> None:
    by_id, by_email = ambiguous_pair(world)
    # when Pluvo has changed since the run
    world.pluvo.change_user(by_id, name="Peter Jansen")
    found = candidates("acme", "80")
    # then
    accounts = {one["pluvo_id"]: one for one in found["candidates"]}
    assert accounts[by_id]["name"] == "Peter Jansen"
    assert accounts[by_email]["same"] == {"name": True, "email": True, "other_name": False}
    told = choices(found)
    assert told["link", by_id] == (True, "choice.link_email_taken")
    assert told["create", None] == (False, "choice.create_taken")
    assert told["ignore", None] == (True, "choice.ignore")
    assert (found["events"], found["unasked"], found["following"]) == (["340"], None, None)
    for one in found["choices"]:
        assert "?" not in say(one["code"], "nl", **one["params"])
    assert world.writes() == []


def test_an_account_that_is_gone_can_not_be_chosen_and_one_that_came_is_shown(world: World) -> None:
    by_id, by_email = ambiguous_pair(world)
    world.pluvo.purge_user(by_id)
    world.pluvo.purge_user(by_email)
    came = world.pluvo.add_user("PIET@example.nl", "P. Jansen")["id"]
    told = choices(candidates("acme", "80"))
    assert told["link", by_id] == (False, "choice.link_gone")
    assert told["link", came] == (True, "choice.link_changes")


def test_an_account_still_to_be_made_for_somebody_else_is_shown_and_can_be_chosen_once_it_is_there(
    world: World,
) -> None:
    for number in (80, 81):
        world.person(number, email_primary="samen@example.nl")
    world.begin()
    assert choices(candidates("acme", "81"))["link", None] == (False, "choice.link_to_be_made")
    world.drain()
    account = world.user("samen@example.nl")["id"]
    found = candidates("acme", "81")
    assert choices(found)["link", account] == (True, "choice.link_shared")
    assert found["candidates"][0]["linked_to"] == "80"


def test_who_decides_second_is_told_who_was_first_and_nothing_changes(world: World) -> None:
    by_id, _ = ambiguous_pair(world)
    seen = candidates("acme", "80")["revision"]
    links_check.decide_checked("acme", "80", "ignore", None, who="anna", reason=None, seen=seen)
    with pytest.raises(AlreadyDecided, match=r"anna decided about 80 first, at .*: ignored") as told:
        links_check.decide_checked("acme", "80", "link", by_id, who="bert", reason=None, seen=seen)
    assert told.value.status == 409
    assert "anna besliste als eerste" in told.value.say("nl")
    found = candidates("acme", "80")
    assert found["decided"]
    assert (found["state"], found["decided"]["who"]) == ("ignored", "anna")
    # who has looked again may decide otherwise, and is told what was decided before
    done = links_check.decide_checked("acme", "80", "link", by_id, who="bert", reason=None, seen=found["revision"])
    assert done["before"]
    assert (done["result"], done["before"]["decision"]) == ("linked", "ignore")


def test_what_is_decided_already_can_not_be_chosen_again(world: World) -> None:
    by_id, _ = ambiguous_pair(world)
    links_check.decide_checked("acme", "80", "ignore", None, who="anna", reason=None)
    assert choices(candidates("acme", "80"))["ignore", None] == (False, "choice.ignore_already")
    links_check.decide_checked("acme", "80", "link", by_id, who="anna", reason=None)
    told = choices(candidates("acme", "80"))
    assert told["link", by_id] == (False, "choice.link_already")
    assert told["create", None] == (False, "choice.create_linked")
    assert told["ignore", None] == (True, "choice.ignore")


def test_of_two_who_decide_at_the_same_moment_one_is_told_of_the_other(world: World) -> None:
    ambiguous_pair(world)
    seen = candidates("acme", "80")["revision"]
    told: list[str] = []

    def decide(who: str) -> None:
        try:
            links.decide("acme", "80", "ignore", None, who=who, seen=seen)
            told.append("done")
        except AlreadyDecided as late:
            told.append(str(late.params["who"]))

    both = [threading.Thread(target=decide, args=[who]) for who in ("anna", "bert")]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    (first,) = [row["who"] for row in world.rows("SELECT who FROM operator_action WHERE verb = 'links decide'")]
    assert sorted(told) == sorted(["done", first])


def test_without_pluvo_the_accounts_are_shown_as_they_were_and_it_says_so(world: World) -> None:
    by_id, _ = ambiguous_pair(world)
    world.fault("pluvo", kind="status", status=503)
    found = candidates("acme", "80")
    assert found["unasked"] is not None
    assert {one["pluvo_id"]: one["there"] for one in found["candidates"]}[by_id] is None


def test_the_next_one_who_waits_is_named(world: World) -> None:
    for number in (80, 81, 82):
        world.person(number)
        world.pluvo.add_user(f"p{number}@example.nl", f"Persoon {number}", afasContactId=f"9{number}")
    world.sync()
    assert [one["internal_id"] for one in deciding.waiting().items] == ["80", "81", "82"]
    first = deciding.waiting(2)
    assert [one["internal_id"] for one in deciding.waiting(2, first.next).items] == ["82"]
    assert candidates("acme", "80")["following"] == "81"
    links_check.decide_checked("acme", "81", "ignore", None, who="anna", reason=None)
    assert candidates("acme", "80")["following"] == "82"


def test_candidates_and_decisions_are_commands_too(world: World) -> None:
    by_id, _ = ambiguous_pair(world)
    shown = CliRunner().invoke(app, ["links", "candidates", "acme", "80", "--language", "nl"])
    assert shown.exit_code == 0, shown.output
    assert f"koppeling links decide acme 80 link {by_id} --seen 1" in shown.stdout
    assert CliRunner().invoke(app, ["links", "decide", "acme", "80", "ignore", "--seen", "1"]).exit_code == 0
    second = CliRunner().invoke(app, ["links", "decide", "acme", "80", "ignore", "--seen", "1"])
    assert isinstance(second.exception, Problem)


# ------------------------------------------------------------------------------------------------------ a file of links


def test_a_file_is_looked_at_line_by_line_and_nothing_is_stored(world: World, tmp_path: Any) -> None:
    # given somebody who is linked, somebody who is linked elsewhere, and accounts
    accounts = [str(world.pluvo.add_user(f"a{n}@example.nl", f"A {n}")["id"]) for n in range(4)]
    for number, account in ((80, accounts[0]), (81, accounts[1])):
        links_check.set_checked("acme", str(number), account, sure=False, who="tester", reason=None)
    lines = [
        f"acme,80,{accounts[0]}",
        f"acme,81,{accounts[2]}",
        f"acme,82,{accounts[3]}",
        f"acme,83,{accounts[0]}",
        f"acme,84,{NOWHERE}",
        f"nope,85,{accounts[3]}",
    ]
    file = tmp_path / "links.csv"
    file.write_text("tenant,internal_id,pluvo_id\n" + "\n".join(lines[:5]) + "\n")
    # when
    found = links_import.preview(file)
    # then
    assert [line["result"] for line in found["lines"]] == ["unchanged", "moved", "linked", "refused", "refused"]
    told = [say(line["code"], "en", **line["params"]) for line in found["lines"]]
    assert accounts[1] in told[1]
    assert "is linked to 80 already" in told[3]
    assert "no user with the id" in told[4]
    assert (found["fits"], found["counts"]["refused"]) == (False, 2)
    assert world.rows("SELECT internal_id FROM person ORDER BY 1") == [{"internal_id": "80"}, {"internal_id": "81"}]
    shown = CliRunner().invoke(app, ["links", "import", str(file), "--preview"])
    assert (shown.exit_code, "2 refused. Nothing is stored." in shown.stdout) == (1, True)
    dutch = CliRunner().invoke(app, ["links", "import", str(file), "--preview", "--language", "nl"])
    assert "1 gekoppeld, 1 verplaatst, 1 ongewijzigd, 2 geweigerd. Er is niets opgeslagen." in dutch.stdout
    # who is sure may share an account; an unknown tenant and a double line are told by line
    file.write_text("tenant,internal_id,pluvo_id\n" + "\n".join(lines[:4]) + "\n")
    assert links_import.preview(file, sure=True)["fits"] is True
    file.write_text("tenant,internal_id,pluvo_id\n" + "\n".join([lines[5], lines[0], lines[0]]) + "\n")
    assert [line["result"] for line in links_import.preview(file)["lines"]] == ["refused", "unchanged", "refused"]


def test_a_file_of_addresses_says_who_each_one_is(world: World) -> None:
    account = world.pluvo.add_user("anna@example.nl", "Anna Bos")["id"]
    text = "tenant;internal_id;pluvo_email\r\nacme;80;ANNA@example.nl\r\nacme;81;niemand@example.nl\r\n"
    first, second = links_import.preview_text(text, "links.csv")["lines"]
    assert (first["pluvo_id"], first["result"]) == (account, "linked")
    assert (second["pluvo_id"], second["result"]) == (None, "refused")


def test_a_file_is_not_imported_over_what_somebody_decided_since_it_was_looked_at(world: World, tmp_path: Any) -> None:
    one, two, three = (str(world.pluvo.add_user(f"a{n}@example.nl", f"A {n}")["id"]) for n in range(3))
    text = f"tenant,internal_id,pluvo_id\nacme,80,{one}\nacme,81,{two}\n"
    seen = links_import.preview_text(text, "links.csv")["seen"]
    # when somebody else links one of them elsewhere first
    links_check.set_checked("acme", "81", three, sure=False, who="anna", reason=None)
    with pytest.raises(AlreadyDecided, match="changed since it was looked at"):
        links_import.run_text(text, "links.csv", who="bert", seen=seen)
    file = tmp_path / "links.csv"
    file.write_text(text)
    refused = CliRunner().invoke(app, ["links", "import", str(file), "--seen", seen])
    assert isinstance(refused.exception, AlreadyDecided)
    # then nothing is stored, and all of it once it was looked at again
    assert [item["pluvo_id"] for item in links.listing().items] == [three]
    again = links_import.preview_text(text, "links.csv")
    assert (again["counts"]["moved"], again["seen"] == seen) == (1, False)
    done = links_import.run_text(text, "links.csv", who="bert", seen=again["seen"])
    assert done == {"linked": 1, "moved": 1, "unchanged": 0}


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n", 'tenant,internal_id,pluvo_id\n"acme,80\n', "\0\n"])
def test_what_is_no_such_file_is_told_as_such(world: World, text: str) -> None:
    with pytest.raises(FileProblems):
        links_import.preview_text(text, "links.csv")


# --------------------------------------------------------------------------------------------------------- asking AFAS


def asked(world: World, who: str = "1070") -> list[str]:
    told = explain("acme", who, ask_now=True)
    found = told["asked"]
    return [say(one["code"], "en", **one["params"]) for one in (*found["found"], *found["failed"])]


def test_somebody_in_an_event_that_is_not_linked_is_found_there(world: World) -> None:
    world.sync()
    world.person(1070, 555)
    assert asked(world) == ["1070 is in event 555, which is not linked. No rule covers it."]
    assert world.rows("SELECT id FROM person") == []
    assert world.rows("SELECT id FROM snapshot_row") == []


def test_what_a_run_would_find_is_told_event_by_event_what_to_act_on_first(world: World) -> None:
    world.person(1070, 340)
    world.person(1070, 341, email_primary="")
    world.person(1070, 555)
    assert asked(world) == [
        "1070 is in event 341, which is linked, but the row can't be used. "
        "The row has no e-mail address, neither the first nor the second.",
        "1070 is in event 340, which is linked: the next run enrolls them, a run for this person does so now.",
        "1070 is in event 555, which is not linked. No rule covers it.",
    ]
    told = explain("acme", "1070", ask_now=True)
    assert (told["found"], told["next"]["code"]) == (False, "asked.unusable")
    assert outcomes(world.sync()) == {"created": 1, "rejected": 1}
    assert asked(world)[-1] == "1070 is in event 340, which is linked."


def test_somebody_who_is_nowhere_is_told_where_it_was_asked(world: World) -> None:
    world.person(80)
    assert asked(world) == [
        "AFAS has no row of 1070 now in what it was asked: Deelnemer_per_cususevenement.".replace("cusus", "cursus")
    ]


def test_a_connector_that_can_not_be_read_is_told_with_its_cause(world: World) -> None:
    world.fault("afas", kind="status", status=500)
    (told,) = asked(world)
    assert told.startswith("Deelnemer_per_cursusevenement could not be read: ")


@pytest.mark.parametrize("who", ["piet@example.nl", "x80", "", "<script>"])
def test_only_an_internal_id_can_be_asked_for(world: World, who: str) -> None:
    with pytest.raises(Problem, match="is none"):
        explain("acme", who, ask_now=True)


def test_asking_is_an_option_of_the_command(world: World) -> None:
    world.person(1070, 555)
    shown = CliRunner().invoke(app, ["explain", "acme", "1070", "--ask", "--language", "nl"])
    assert shown.exit_code == 0, shown.output
    assert "1070 zit in evenement 555, dat niet gekoppeld is." in shown.stdout


def test_where_a_run_has_all_calls_to_afas_it_is_said_so_within_moments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "AT_ONCE_SECONDS", 0.1)
    tenant = links_check.tenant_of("acme")
    with ExitStack() as run:
        for _ in range(tenant.afas.parallel_calls):
            run.enter_context(call_slot(systems.afas_address(tenant.afas), tenant.afas.parallel_calls))
        (told,) = asked(world)
    assert told.endswith("No call to AFAS came free in time: a run or other work has them all.")


def test_where_a_run_has_all_calls_to_pluvo_a_decision_is_refused_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_id, _ = ambiguous_pair(world)
    monkeypatch.setattr(systems, "AT_ONCE_SECONDS", 0.0)
    world.rows("INSERT INTO installation (id, version) VALUES ('test', '0') RETURNING id")
    world.rows("UPDATE tenant SET pluvo = jsonb_set(pluvo, '{calls_per_second}', '0.001') RETURNING id")
    assert candidates("acme", "80")["unasked"] is not None
    with pytest.raises(Problem, match="No call to Pluvo came free in time"):
        links_check.decide_checked("acme", "80", "link", by_id, who="anna", reason=None)
