"""The rows of a page of which nothing is odd, straight into the text of a COPY: a tenth of the work of translating.

Almost every row of a large roster is like that. A row is plain when ``models.translate`` would give each value as it
stands, and the row is present; one expression tells. Any doubt is for ``translate``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from operator import itemgetter
from typing import Any

from models.afas_values import event_number
from models.enrollment import RowState
from models.tenant_settings import FieldMap

# Ids, a name of Latin letters and signs with single blanks, and an address. No bracket that may begin "(vervangen)", no
# backslash, which a COPY would read as its own, and no letter that has a second spelling.
_WORD = r"[!-'*-\[\]-~À-ÖØ-öø-ſẠ-ỹ]"
_PLAIN = re.compile(
    rf"[1-9][0-9]{{0,17}}\t[0-9A-Za-z]{{1,40}}\t{_WORD}+(?: {_WORD}+)*"
    r"\t[A-Za-z0-9._%+'&=-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
).fullmatch
_LONGEST = 250  # of all of them together: no name or address in it is too long
_NOTHING = (None, "")
_COMPLETED = re.compile(r"[0-9][0-9:.TZ+-]{0,39}").fullmatch
_ASIDE = re.compile(r"[0-9A-Za-z@ ._:+-]{0,250}").fullmatch


class PlainRows:
    """Recognises the plain rows of one event. Rows of a connector with dates or a blocked column are left to others."""

    def __init__(self, fields: FieldMap, event_id: str) -> None:
        named = (fields.event_id, fields.internal_id, fields.external_id, fields.name, fields.email_primary)
        # What is not mapped is read from a column that is there, and not looked at.
        self._values = itemgetter(*named, fields.completion or fields.name)
        self._completion = fields.completion is not None
        self._aside = [column for column in (fields.email_secondary, fields.modified) if column]
        number = event_number(event_id)
        mapped = any((fields.start, fields.end, fields.blocked))
        self._event: tuple[object, ...] = () if mapped or number is None else (int(number), number)

    def copied(self, row: Mapping[str, Any]) -> str | None:
        """The row as ``snapshot.COPIED`` names its columns, parted by tabs; None when it is not plain."""
        try:
            event, internal_id, external_id, name, email, completion = self._values(row)
            for column in self._aside:
                if (aside := row[column]) and not (aside.__class__ is str and _ASIDE(aside)):
                    return None
        except KeyError:
            return None
        if event not in self._event or event.__class__ is bool or not (external_id.__class__ is name.__class__ is str):
            return None
        told = f"{internal_id}\t{external_id}\t{name}\t{email}"
        if len(told) > _LONGEST or not _PLAIN(told) or ".." in email:
            return None
        if not self._completion or completion in _NOTHING:
            completed = r"\N"
        elif completion.__class__ is str and _COMPLETED(completion):
            completed = completion
        else:
            return None
        # Of the same parts as ``models.translate.fingerprint`` joins.
        fingerprint = sha256(f"{name}\x1f{email}\x1f{external_id}".encode()).hexdigest()[:24]
        return f"{told}\t{email.lower()}\t{completed}\t{RowState.PRESENT}\t\\N\t{fingerprint}"
