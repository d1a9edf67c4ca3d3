"""What a dead letter says in a reader's language, and what is left for the remote's own words."""

from __future__ import annotations

import pytest

from clients.errors import Rejected
from models.message import Kind
from ops.dead_letters import faults
from workers.messages.policy import classify


def letter(message: str | None) -> dict[str, object]:
    return {"kind": Kind.UPSERT, "error": "refused", "message": message}


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (classify(Rejected("refused", "Pluvo refuses this record.", remote_text="No: role")).failure.text, "No: role"),
        ("Pluvo refuses this record.: No: role", "No: role"),  # as 0.1.0 stored it
        ("Pluvo refuses this record.", ""),
        ("Pluvo refuses this recording: no", "Pluvo refuses this recording: no"),
        ("something else", "something else"),
        (None, ""),
    ],
)
def test_the_sentence_that_a_face_says_itself_is_not_repeated_before_the_remotes_words(
    message: str | None, left: str
) -> None:
    assert faults.remote_words(letter(message)) == left
