"""Settings: read once, typed, every problem named at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

import settings


@given(st.integers(0, 10**6))
def test_a_duration_reads_back_as_it_was_written(seconds: int) -> None:
    assert settings.parse_duration(settings.format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "1.5h", "5w"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="45s, 15m, 2h or 7d"):
        settings.parse_duration(text)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("valkey://10.0.0.1:6379/1", "redis://10.0.0.1:6379/1"),
        ("valkeys://u:p@valkey.example.nl/0", "rediss://u:p@valkey.example.nl/0"),
        ("redis://127.0.0.1/0", "redis://127.0.0.1/0"),
    ],
)
def test_a_valkey_url_is_one_that_the_client_knows(given: str, used: str) -> None:
    assert settings.Settings(home=Path(), redis_url=given).need_redis() == used


def test_all_wrong_settings_are_named_at_once_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setenv("KOPPELING_DATABASE_URL", "mysql://root:geheim@db/x")
    monkeypatch.setenv("KOPPELING_SECRET_KEYS", "geheim")
    monkeypatch.setenv("KOPPELING_LEASE", "soon")
    monkeypatch.setenv("KOPPELING_ALLOW_INSECURE_URLS", "yes")

    # when
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()

    # then
    said = str(caught.value)
    for name in ("DATABASE_URL", "SECRET_KEYS", "LEASE", "ALLOW_INSECURE_URLS"):
        assert f"KOPPELING_{name}" in said
    assert "geheim" not in said


def test_secrets_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    (tmp_path / "keys").write_text(f"{key}\n", encoding="utf-8")
    monkeypatch.setenv("KOPPELING_SECRET_KEYS_FILE", str(tmp_path / "keys"))

    assert settings.load().secret_keys == (key,)


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KOPPELING_REDIS_URL_FILE", str(tmp_path / "absent"))

    with pytest.raises(settings.SettingsError, match="KOPPELING_REDIS_URL_FILE: can't read"):
        settings.load()


def test_settings_do_not_show_secrets_when_printed() -> None:
    shown = repr(settings.Settings(home=Path(), database_url="postgresql://u:geheim@db/x", secret_keys=("geheim",)))

    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_MAIL", "nobody"),
        ("ALERT_MAIL", "a@example.nl, b@example.nl\r\nBcc: c@example.nl"),
        ("ALERT_QUIET", "22-7"),
        ("ALERT_QUIET", "22:00-22:00"),
        ("ALERT_LANGUAGE", "de"),
        ("ALERT_TIMEZONE", "Amsterdam"),
        ("ALERT_WEBHOOK", "https://user@example.nl/x"),
        ("PUBLIC_URL", "https://example.nl/?x=1"),
        ("PUBLIC_URL", "javascript://example.nl"),
        ("SMTP_FROM", "Koppeling <k@example.nl>"),
        ("SMTP_URL", "https://mail.example.nl"),
        ("SMTP_URL", "smtp+plain://user:geheim@mail.example.nl"),
        ("SMTP_URL", "smtp://mail.example.nl:0"),
        ("SMTP_URL", "smtp://mail.example.nl/path"),
    ],
)
def test_what_mails_can_not_work_with_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"KOPPELING_{name}", value)
    with pytest.raises(settings.SettingsError, match=f"KOPPELING_{name}") as caught:
        settings.load()
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "lacking"),
    [
        ("SMTP_URL", "smtps://mail.example.nl", "SMTP_FROM"),
        ("ALERT_WEBHOOK", "https://example.nl/x", "ALERT_WEBHOOK_SECRET"),
    ],
)
def test_what_goes_together_is_asked_for_together(
    name: str, value: str, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KOPPELING_{name}", value)
    with pytest.raises(settings.SettingsError, match=f"KOPPELING_{lacking}"):
        settings.load()


def test_a_way_past_a_pooler_needs_the_address_of_the_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_DATABASE_DIRECT_URL", "postgresql://db/x")
    with pytest.raises(settings.SettingsError, match="KOPPELING_DATABASE_URL: is needed with"):
        settings.load()
