"""What rules make of events, without AFAS and Pluvo."""

from __future__ import annotations

import time

from models.course_settings import CourseDefaults, CourseRule
from producers.enrollments.course_rules import Asked, CourseFile, judge
from producers.enrollments.event_list import AfasEvent, EventList

DEFAULTS = CourseDefaults.model_validate(
    {
        "getconnector": "Deelnemers",
        "fields": {
            "event_id": "CrId",
            "internal_id": "Intern_ID",
            "external_id": "Extern_ID",
            "name": "Naam",
            "email_primary": "Email_werk",
        },
    }
)


def test_a_rule_with_a_thousand_events_is_judged_in_moments() -> None:
    # given: the most that one rule may name, and a connector with years of events
    rule = CourseRule.model_validate(
        {"events": [f"{event}-0{event}" for event in range(1, 2000, 2)], "offer_event_ref": "afas-{event_id}"}
    )
    found = EventList({str(event): AfasEvent(str(event), 1) for event in range(1, 4001)})
    # when
    began = time.process_time()
    verdicts = judge(CourseFile(DEFAULTS, [rule], {}), found, Asked())
    # then: a transaction is open meanwhile; reading each part for each event took half a minute
    assert time.process_time() - began < 5
    assert [int(one.event_id) for one in verdicts if one.rule] == list(range(1, 2000, 2))
