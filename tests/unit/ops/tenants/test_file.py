"""The tenants file: every problem at once, each with its line; secrets from wherever they may come."""

from __future__ import annotations

from pathlib import Path

import pytest

import settings
from ops.problems import FileProblems
from ops.tenants import file

GOOD = """\
[[tenants]]
slug = "acme"
name = "Acme Opleidingen"

[tenants.afas]
member_id = "O12345AA"
client_id = "app"
client_secret = "s1"

[tenants.pluvo]
organisation = "acme"
client_id = "id"
client_secret = "s2"

[tenants.removals]
policy = "unenroll"

[[tenants.courses]]
event_id = "340"
getconnector = "Deelnemers"
completion_field = "UC3B61455480EEFAFE78EBC831C6E1B30"
[tenants.courses.fields]
event_id = "CrId"
internal_id = "Intern_ID"
external_id = "Extern_ID"
name = "Naam"
email_primary = "Email_werk"
completion = "Voltooid_op"
[tenants.courses.pluvo]
offer_event_ref = "afas-340"
completion_title = "BHV basis"
"""


@pytest.fixture(autouse=True)
def standard_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOPPELING_ALLOW_INSECURE_URLS", raising=False)
    settings.get.cache_clear()


def problems_of(text: str, folder: Path = Path()) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        file.parse(text, name="tenants.toml", folder=folder)
    return caught.value.lines


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_file_gives_defaults_and_the_digits_of_the_member_id() -> None:
    (tenant,) = file.parse(GOOD, name="f", folder=Path())
    assert (tenant.afas.member_id, tenant.timezone, tenant.interval) == ("12345", "Europe/Amsterdam", 3600)
    assert tenant.removals.confirm_after == 3600
    assert tenant.removals.limits.window_count == 25
    (rule,) = tenant.courses[0].rules()
    assert (rule.level, rule.title, rule.column) == ("training", "BHV basis", "Voltooid_op")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('slug = "acme"', 'slug = "Acme"', "2: tenants.slug: must be a-z, 0-9 and inner hyphens"),
        ('slug = "acme"', 'slug = "-acme"', "2: tenants.slug: must be a-z"),
        ('slug = "acme"', f'slug = "{"a" * 41}"', "2: tenants.slug: must be a-z"),
        ('name = "Acme Opleidingen"', 'name = ""', "3: tenants.name: is empty"),
        (
            'name = "Acme Opleidingen"',
            'name = "A"\nintervall = "60m"',
            "4: tenants.intervall: unknown key (did you mean",
        ),
        ('name = "Acme Opleidingen"', 'name = "A"\ninterval = "5m"', "4: tenants.interval: must be 15m to 24h, not 5m"),
        ('name = "Acme Opleidingen"', 'name = "A"\ninterval = 60', '4: tenants.interval: must be text such as "60m"'),
        (
            'name = "Acme Opleidingen"',
            'name = "A"\ninterval = "1 hour"',
            "4: tenants.interval: '1 hour' is no duration",
        ),
        (
            "[tenants.afas]",
            '[[tenants.blackout]]\nhours = "8-17"\n[tenants.afas]',
            "6: tenants.blackout.hours: must be hours such as 08:00-17:30",
        ),
        (
            "[tenants.afas]",
            '[[tenants.blackout]]\ndays = ["fri", "vr"]\nhours = "08:00-17:30"\n[tenants.afas]',
            "6: tenants.blackout.days: must be 'mon', 'tue'",
        ),
        (
            "[tenants.afas]",
            '[[tenants.blackout]]\ndays = "mon"\nhours = "08:00-17:30"\n[tenants.afas]',
            '6: tenants.blackout.days: must be a list of days: ["mon", "fri"]',
        ),
        (
            "[tenants.afas]",
            '[[tenants.blackout]]\ndays = []\nhours = "08:00-17:30"\n[tenants.afas]',
            "6: tenants.blackout.days: is empty",
        ),
        ("[tenants.afas]", "[[tenants.blackout]]\n[tenants.afas]", "5: tenants.blackout: hours is missing"),
        (
            "[tenants.afas]",
            '[[tenants.blackout]]\nhours = "00:05-24:00"\n[tenants.afas]',
            "5: tenants.blackout: must leave an hour of the week",
        ),
        ("[tenants.afas]", "[tenants.blackout]\n[tenants.afas]", "5: tenants.blackout: must be an array of tables"),
        ('name = "Acme Opleidingen"', 'name = "A"\ntimezone = "Europe/Delft"', "4: tenants.timezone: is no time zone"),
        ('member_id = "O12345AA"', "member_id = 12345", "6: tenants.afas.member_id: must be text: write it between"),
        ('member_id = "O12345AA"', 'member_id = "123"', "6: tenants.afas.member_id: Type the AFAS member id"),
        ('client_secret = "s1"\n', "", '5: tenants.afas: client_secret missing: auth = "oauth" needs them'),
        (
            'client_secret = "s1"',
            'client_secret = { env = "NO_SUCH" }',
            "8: tenants.afas.client_secret: environment var",
        ),
        (
            'client_secret = "s1"',
            'client_secret = { file = "no/such" }',
            "8: tenants.afas.client_secret: can't read no/such",
        ),
        ('client_secret = "s1"', 'client_secret = { path = "x" }', "8: tenants.afas.client_secret: a secret is text"),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\nparallel_calls = 6',
            "9: tenants.afas.parallel_calls: must be 1 to 5",
        ),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\nauth = "basic"',
            "9: tenants.afas.auth: must be 'oauth' or 'token'",
        ),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\ntoken = "short"',
            "9: tenants.afas.token: This is not an AFAS token",
        ),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\nbase_url = "http://127.0.0.1:1/x"',
            "9: tenants.afas.base_url: must be",
        ),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\nbase_url = "https://evil.example/"',
            "9: tenants.afas.base_url: must",
        ),
        (
            'client_secret = "s1"',
            'client_secret = { env = "KOPPELING_SECRET_KEYS" }',
            "8: tenants.afas.client_secret: KOPPELING_SECRET_KEYS is a setting of ours",
        ),
        (
            'client_secret = "s1"',
            'client_secret = "s1"\nbase_url = "https://a@x.afas.online/"',
            "9: tenants.afas.base_url: must be an",
        ),
        ('organisation = "acme"', 'organisation = "a.b"', "11: tenants.pluvo.organisation: Type the organisation"),
        ('client_secret = "s2"', 'client_secret = "s2"\ncalls_per_second = "5"', "14: tenants.pluvo.calls_per_second"),
        (
            'client_secret = "s2"',
            'client_secret = "s2"\npeople_per_call = 26',
            "14: tenants.pluvo.people_per_call: must be 1 to 25",
        ),
        (
            'client_secret = "s2"',
            'client_secret = "s2"\npeople_per_call = 0',
            "14: tenants.pluvo.people_per_call: must",
        ),
        ('client_secret = "s2"', 'client_secret = "s2"\npeople_per_call = 2.5', "14: tenants.pluvo.people_per_call"),
        (
            'client_secret = "s2"',
            'client_secret = "s2"\ncalls_per_second = nan',
            "14: tenants.pluvo.calls_per_second: must be a number",
        ),
        (
            'policy = "unenroll"',
            "limits.event_percent = nan",
            "16: tenants.removals.limits.event_percent: must be a number",
        ),
        ('policy = "unenroll"', 'policy = "delete"', "16: tenants.removals.policy: must be 'keep'"),
        (
            'policy = "unenroll"',
            "limits.event_percent = 101",
            "16: tenants.removals.limits.event_percent: must be 0 to 100",
        ),
        ('event_id = "340"', "event_id = 340", "19: tenants.courses.event_id: must be text: write it between quotes"),
        ('event_id = "340"', 'event_id = "drie"', "19: tenants.courses.event_id: must be the number (CrId)"),
        ('event_id = "340"', 'event_id = "0340"', "19: tenants.courses.event_id: must be the number (CrId)"),
        ('event_id = "340"', 'event_id = "340.0"', "19: tenants.courses.event_id: must be the number (CrId)"),
        ("[[tenants.courses]]", "[tenants.courses]", "18: tenants.courses: must be an array of tables: write [[…]]"),
        (
            "[tenants.courses.pluvo]",
            '[tenants.courses.completions]\ntitle = "BHV"\n[tenants.courses.pluvo]',
            "29: tenants.courses.completions: must be an array of tables: write [[…]]",
        ),
        ('event_id = "CrId"', 'event_id = "Cr.Id"', "23: tenants.courses.fields.event_id: AFAS can't order"),
        (
            'event_id = "CrId"',
            'event_id = "Intern_ID"',
            "22: tenants.courses.fields: event_id and internal_id name the same",
        ),
        ('email_primary = "Email_werk"\n', "", "22: tenants.courses.fields: email_primary is missing"),
        ('offer_event_ref = "afas-340"\n', "", "29: tenants.courses.pluvo: give offer_event_ref or group_ref"),
        ('completion_title = "BHV basis"\n', "", "18: tenants.courses: completion_field and pluvo.completion_title go"),
        (
            'completion_title = "BHV basis"',
            'completion_title = "B"\nsend_invite = "no"',
            "32: tenants.courses.pluvo.send_invite",
        ),
    ],
)
def test_a_problem_is_named_with_its_line(old: str, new: str, said: str) -> None:
    (line,) = problems_of(changed(old, new))
    assert line.startswith(f"tenants.toml:{said}")


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        changed('slug = "acme"', 'slug = "A!"').replace('policy = "unenroll"', 'policy = "x"').replace('"340"', "340")
    )
    assert [line.split(":")[1] for line in problems_of(text)] == ["2", "16", "19"]


def test_a_slug_or_an_event_that_is_there_twice_is_found_in_the_second_place() -> None:
    second = GOOD.replace('event_id = "340"', 'event_id = "341"')
    assert problems_of(GOOD + second) == ["tenants.toml:33: tenants.slug: 'acme' is there twice"]
    course = GOOD[GOOD.index("[[tenants.courses]]") :]
    assert problems_of(GOOD + course) == ["tenants.toml:33: tenants.courses.event_id: '340' is there twice"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("[[tenants]\n", 1), ('[[tenants]]\nslug = "a\n', 2), ("tenants = 3", 1), ("", 1), ("a = 1\na = 2\n", 2)],
)
def test_text_that_is_no_tenants_file_has_a_line_too(text: str, line: int) -> None:
    assert problems_of(text)[0].startswith(f"tenants.toml:{line}: ")


def test_a_secret_may_come_from_the_environment_or_from_a_file_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("ACME_SECRET", "from the environment")
    (tmp_path / "pluvo.txt").write_text("from a file\n")
    text = changed('"s1"', '{ env = "ACME_SECRET" }').replace('"s2"', '{ file = "pluvo.txt" }')
    # when
    (tenant,) = file.parse(text, name="f", folder=tmp_path)
    # then
    assert (tenant.afas.client_secret, tenant.pluvo.client_secret) == ("from the environment", "from a file")


def test_no_problem_ever_repeats_a_secret() -> None:
    text = changed('"s1"', '"hush-hush"\ntoken = "hush-hush-token"\nparallel_calls = 9').replace('"s2"', '["hush"]')
    assert "hush" not in "\n".join(problems_of(text))


def test_insecure_addresses_are_allowed_on_the_operators_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_ALLOW_INSECURE_URLS", "1")
    settings.get.cache_clear()
    text = changed('"s1"', '"s1"\nbase_url = "http://127.0.0.1:8801/t/1/ProfitRestServices/"')
    (tenant,) = file.parse(text, name="f", folder=Path())
    assert tenant.afas.base_url == "http://127.0.0.1:8801/t/1/ProfitRestServices"
    settings.get.cache_clear()


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileProblems, match=r"no\.toml: can't be read"):
        file.read(tmp_path / "no.toml")


SHARED = """\
[tenants.course_defaults]
getconnector = "Deelnemers"
completion_field = "UC3B61455480EEFAFE78EBC831C6E1B30"
[tenants.course_defaults.fields]
event_id = "CrId"
internal_id = "Intern_ID"
external_id = "Extern_ID"
name = "Naam"
email_primary = "Email_werk"
[tenants.course_defaults.pluvo]
send_invite = true
offer_event_ref = "afas"

[[tenants.course_rules]]
events = "all"
offer_event_ref = "afas-{event_id}"
completion_title = "{Cursusnaam}"
"""
WITH_RULES = GOOD[: GOOD.index("[[tenants.courses]]")] + SHARED
OWN = """\
[[tenants.courses]]
event_id = "340"
updateconnector = "KnCourse"
[tenants.courses.fields]
name = "Volledige_naam"
[tenants.courses.pluvo]
group_ref = "bhv"
"""


def test_what_courses_share_is_given_to_each_and_its_own_values_win() -> None:
    # given: a course that says two things of its own, another target than the shared one among them
    (tenant,) = file.parse(WITH_RULES + OWN, name="f", folder=Path())
    # then
    (course,) = tenant.courses
    assert (course.getconnector, course.updateconnector) == ("Deelnemers", "KnCourse")
    assert (course.fields.name, course.fields.internal_id) == ("Volledige_naam", "Intern_ID")
    assert (course.pluvo.group_ref, course.pluvo.offer_event_ref, course.pluvo.send_invite) == ("bhv", None, True)
    # and: half a write-back that only the others use is none
    assert course.rules() == []


def test_a_course_with_a_title_takes_the_shared_field_and_one_without_a_target_the_shared_one() -> None:
    own = '[[tenants.courses]]\nevent_id = "7"\n[tenants.courses.pluvo]\ncompletion_title = "BHV"\n'
    (tenant,) = file.parse(WITH_RULES + own, name="f", folder=Path())
    (course,) = tenant.courses
    assert course.pluvo.offer_event_ref == "afas"
    assert [(rule.title, rule.field) for rule in course.rules()] == [("BHV", "UC3B61455480EEFAFE78EBC831C6E1B30")]


def test_a_rule_without_a_target_takes_the_shared_one() -> None:
    text = WITH_RULES.replace('offer_event_ref = "afas-{event_id}"\n', "")
    (tenant,) = file.parse(text, name="f", folder=Path())
    assert tenant.course_rules[0].offer_event_ref == "afas"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"all"',
            '["340", "drie"]',
            "32: tenants.course_rules.events: 'drie' is no event: write \"all\", or a list of",
        ),
        ('"all"', '"399-340"', "32: tenants.course_rules.events: '399-340' is no event"),
        ('"all"', '["all", "340"]', "32: tenants.course_rules.events: 'all' is no event"),
        ('"all"', '"0-10"', "32: tenants.course_rules.events: '0-10' is no event"),
        ('"all"', "[]", "32: tenants.course_rules.events: names no event"),
        ('"all"', "340", '32: tenants.course_rules.events: must be "all", or a list of'),
        ('"all"', "[340]", "32: tenants.course_rules.events: must be text: write it between quotes"),
        (
            '"{Cursusnaam}"',
            '"{Cursusnaam"',
            "34: tenants.course_rules.completion_title: has a brace that names no column",
        ),
        ('"afas-{event_id}"', '"afas-{}"', "33: tenants.course_rules.offer_event_ref: has a brace"),
        (
            'offer_event_ref = "afas-{',
            'group_ref = "g"\noffer_event_ref = "afas-{',
            "31: tenants.course_rules: give offer",
        ),
        ('completion_title = "{', 'title = "{', "34: tenants.course_rules.title: unknown key"),
        ('getconnector = "Deelnemers"\n', "", "30: tenants.course_rules: what rule 1 links needs getconnector in"),
        ('internal_id = "Intern_ID"\n', "", "30: tenants.course_rules: what rule 1 links needs fields.internal_id in"),
        ("completion_field", "# ", "31: tenants.course_rules: what rule 1 links needs completion_field in"),
        (
            'getconnector = "Deel',
            'getconector = "Deel',
            "19: tenants.course_defaults.getconector: unknown key (did you",
        ),
        ("send_invite = true", 'send_invite = "ja"', "28: tenants.course_defaults.pluvo.send_invite: must be true or"),
    ],
)
def test_what_is_wrong_with_rules_and_defaults_is_one_clear_line(old: str, new: str, said: str) -> None:
    # given: a block that takes from the defaults what is wrong there
    assert WITH_RULES.count(old) == 1, old
    found = problems_of(WITH_RULES.replace(old, new) + OWN)
    # then: it is told once, where it stands (and what a block lacks, with the block)
    (line,) = [line for line in found if "tenants.courses" not in line]
    assert line.startswith(f"tenants.toml:{said}"), line


def test_a_rule_without_any_target_is_told_so() -> None:
    text = WITH_RULES.replace('offer_event_ref = "afas-{event_id}"\n', "").replace('offer_event_ref = "afas"\n', "")
    assert problems_of(text) == [
        "tenants.toml:30: tenants.course_rules: give offer_event_ref or group_ref, one of the two: it says where the "
        "people are enrolled"
    ]


def test_an_event_id_that_is_no_number_is_refused_with_its_line() -> None:
    (line,) = problems_of(changed('event_id = "340"', 'event_id = "drie"'))
    assert line.startswith("tenants.toml:19: tenants.courses.event_id: must be the number (CrId)")
    assert line.endswith("AFAS's event ids are numbers")


def test_what_is_stored_may_be_left_out_where_it_is_said_so() -> None:
    text = GOOD.replace('client_secret = "s1"\n', "").replace('client_secret = "s2"\n', "")
    assert len(problems_of(text)) == 2
    (tenant,) = file.parse(text, name="f", folder=Path(), keep_secrets=True)
    assert (tenant.afas.client_secret, tenant.pluvo.client_secret) == (None, None)
