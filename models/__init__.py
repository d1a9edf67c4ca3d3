"""What we know: the tables, and the words between them. Importing this package registers every table."""

from models import (
    audit,
    completion,
    course,
    dead_letter,
    enrollment,
    hold,
    installation,
    message,
    person,
    run,
    tenant,
    worker,
)

__all__ = [
    "audit",
    "completion",
    "course",
    "dead_letter",
    "enrollment",
    "hold",
    "installation",
    "message",
    "person",
    "run",
    "tenant",
    "worker",
]
