"""Which exception means what for a message."""

from __future__ import annotations

import psycopg
import pytest
import redis
from dramatiq.middleware import TimeLimitExceeded
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from clients.errors import Misconfigured, Rejected, TooLarge, Unauthorized, Unavailable, Unknown
from loops import where
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import is_contended
from models.tenant_settings import SettingsUnread
from tenancy.rate_limit import RateLimited
from workers.messages.dead_letters import fingerprint
from workers.messages.interruptions import Held, KilledAlone, LeaseShort, NotOurs, Snooze, Stopped, UnknownKind, Waiting
from workers.messages.outcome import consequence_of


def database(error: type[psycopg.Error]) -> OperationalError:
    return OperationalError("SELECT 1", {}, error("jan@example.org"))


@pytest.mark.parametrize(
    ("error", "action", "code"),
    [
        (Unavailable("throttled", "busy", status=502), "retry", "throttled"),
        (Unavailable("throttled", "busy", status=429, retry_after_seconds=7), "wait", "throttled"),
        (Unavailable("maintenance", "later", status=503, retry_after_seconds=0), "wait", "maintenance"),
        (Unknown("timeout", "no answer"), "retry", "timeout"),
        (Unknown("throttled", "no answer", retry_after_seconds=3), "wait", "throttled"),
        (Rejected("functional", "no"), "die", "functional"),
        (TooLarge("too_large", "no"), "die", "too_large"),
        (Unauthorized("token_refused", "no"), "quarantine", "token_refused"),
        (Misconfigured("unknown_field", "no"), "quarantine", "unknown_field"),
        (RateLimited(3.5), "snooze", "pace"),
        (Snooze(9, "account_busy"), "snooze", "account_busy"),
        (TimeoutError("no free call"), "snooze", "no_slot"),
        (redis.ConnectionError("away"), "snooze", "broker_away"),
        (NotOurs(""), "drop", "not_ours"),
        (Stopped(""), "stop", "stopped"),
        (Held(""), "back", "held"),
        (Waiting(""), "back", "waiting"),
        (LeaseShort(""), "retry", "lease_short"),
        (KilledAlone(""), "die", "poison"),
        (SecretUnreadable("not my key"), "back", "secret_unreadable"),
        (SecretDamaged("broken"), "quarantine", "secret_damaged"),
        (SettingsUnread("Stored Limits can't be read"), "quarantine", "settings_unread"),
        (TimeLimitExceeded(), "retry", "time_limit"),
        (UnknownKind("enrollment.new is not known"), "retry", "unknown_actor"),
        (database(psycopg.errors.AdminShutdown), "leave", "database_away"),
        (database(psycopg.errors.DiskFull), "leave", "database_away"),
        (NoConnection("pool"), "leave", "database_away"),
        (database(psycopg.errors.QueryCanceled), "retry", "internal_error"),
        (IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation("jan@example.org")), "retry", "internal_error"),
        (KeyError("jan@example.org"), "retry", "internal_error"),
        (SystemExit(1), "retry", "internal_error"),
    ],
)
def test_each_exception_has_its_action_and_code(error: BaseException, action: str, code: str) -> None:
    consequence = consequence_of(error)
    assert (consequence.action, consequence.failure.code) == (action, code)
    assert "jan" not in consequence.failure.text


def test_faults_of_our_own_are_tried_three_times_and_others_by_the_schedule() -> None:
    assert consequence_of(KeyError()).tries == 3
    assert consequence_of(Unavailable("x", "y")).tries is None


@pytest.mark.parametrize("kind", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_what_postgresql_asks_to_repeat_is_repeated(kind: type[psycopg.Error]) -> None:
    assert is_contended(database(kind))
    assert not is_contended(database(psycopg.errors.AdminShutdown))
    assert not is_contended(KeyError())


def test_a_rejection_keeps_what_the_other_side_said_without_addresses() -> None:
    said = "De waarde bij 'Medewerker' van jan@example.org bestaat niet"
    failure = consequence_of(
        Rejected("functional", "AFAS refused it", status=500, reference="ABC", remote_text=said)
    ).failure
    assert failure.text == "AFAS refused it: De waarde bij 'Medewerker' van <e-mail> bestaat niet"
    assert (failure.status, failure.reference) == (500, "ABC")


@pytest.mark.parametrize("sentence", ["Pluvo refuses this record.", "Pluvo refuses this record"])
def test_what_a_remote_said_follows_our_sentence_after_a_colon_alone(sentence: str) -> None:
    told = consequence_of(Rejected("refused", sentence, remote_text="ValidationError")).failure.text
    assert told == "Pluvo refuses this record: ValidationError"
    assert consequence_of(Rejected("refused", sentence)).failure.text == sentence


def test_a_fault_of_our_own_says_type_and_place_only() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("jan@example.org")
    assert where(caught.value).startswith("KeyError at tests/unit/workers/messages/test_policy.py:")
    assert "jan" not in where(caught.value)


@given(st.text(alphabet="abc ", min_size=1), st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_and_quoted_values_do_not_change_a_fingerprint(words: str, one: int, other: int) -> None:
    assert fingerprint("k", "c", f"{words} 'x{one}' {one}") == fingerprint("k", "c", f"{words} 'y' {other}")


def test_other_words_or_another_code_make_another_fingerprint() -> None:
    first = fingerprint("enrollment.upsert", "functional", "De waarde bestaat niet")
    assert len(first) == 16
    assert len({first, fingerprint("enrollment.upsert", "refused", "De waarde bestaat niet")}) == 2
    assert first != fingerprint("enrollment.upsert", "functional", "De regel bestaat niet")
