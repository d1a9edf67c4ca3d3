"""All tables at once, for who goes over every one of them. Most of the code needs few, and mapping one takes time."""

from models import (  # noqa: F401  importing one registers its tables
    audit,
    completion,
    course,
    enrollment,
    onboarding,
    person,
    tenant,
)
from models.base import metadata
from models.tables import (  # noqa: F401
    alert,
    batch,
    dead_letter,
    hold,
    installation,
    message,
    people_search,
    run,
    tally,
    tenant_check,
    user,
    worker,
)

__all__ = ["metadata"]
