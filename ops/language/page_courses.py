"""The page that changes one course."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "problem.course_by_rule": "Event {event} is linked by a rule of the tenants file: change the rule with `koppeling tenants edit`.",
    "page.course_by_rule": "Event {event} is linked by a rule of the tenants file: whoever keeps that file changes the rule.",
    "problem.no_course_block": "{slug} has no active course {event}.",
    "course_edit.open": "Change this course",
    "course_edit.title": "Change event {event}",
    "course_edit.what": "It counts from the next run on. Another place in Pluvo moves everybody, and the guards judge the move: look at a preview first.",
    "course_edit.done": "The course is changed. Look at a preview before the next run.",
    "course_edit.part_place": "In Pluvo",
    "course_edit.part_columns": "In AFAS",
    "course_edit.ask_pluvo_offer_event_ref": "Ref of the offer event",
    "course_edit.help_pluvo_offer_event_ref": "Give an offer event or a group, one of the two.",
    "course_edit.ask_pluvo_group_ref": "Ref of the group",
    "course_edit.ask_pluvo_send_invite": "Pluvo invites new people by mail",
    "course_edit.ask_pluvo_completion_title": "Training that has to be completed",
    "course_edit.ask_fields_completion": "Column with the completion date",
    "did.courses_edit": "changed this course",
}
