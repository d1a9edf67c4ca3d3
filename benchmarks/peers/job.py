"""The work for one person, the same in every program beside the product: one call to Pluvo, then one row.

It is written as carefully as a short program can be: an account that is there already (an earlier try made it) is
looked up by its ref and recorded, and a row is written by an upsert.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

JOB, GO = "PEERS_JOB", "PEERS_GO"  # variables: the job's file, and the file whose appearance means "begin"
LOOK_UP = "query user($ref: String!) { user(ref: $ref) { id } }"
UPSERT = (
    "INSERT INTO peer (ref, name, email, pluvo_id, enrollment_id) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (ref)"
    " DO UPDATE SET name = excluded.name, email = excluded.email, pluvo_id = excluded.pluvo_id,"
    " enrollment_id = excluded.enrollment_id, done_at = now()"
)
TABLE = (
    "CREATE TABLE IF NOT EXISTS peer (ref text PRIMARY KEY, name text, email text, pluvo_id text, enrollment_id text,"
    " done_at timestamptz DEFAULT now())"
)


class Refused(Exception):
    """Pluvo did not do what was asked; the text holds its error codes."""


@dataclass(frozen=True)
class Job:
    """What to do, where, and how a queue is to be set up."""

    url: str
    client_id: str
    client_secret: str
    document: str
    people: list[dict[str, Any]]
    """The variables of the document, one entry a person; ``ref`` tells them apart."""
    database_url: str
    redis_url: str
    stores: bool = True
    acks_late: bool = True
    """Celery: acknowledge a task when it is done instead of when it is fetched."""
    comes_back_after: int | None = None
    """Seconds until a dead worker's messages are taken over; None leaves each queue's own default."""

    @classmethod
    def read(cls) -> Job:
        """The job this process was started for."""
        return cls(**json.loads(Path(os.environ[JOB]).read_text(encoding="utf-8")))


class Line:
    """One thread's HTTP session and database connection."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._session = requests.Session()
        self._session.trust_env = False
        form = {"client_id": job.client_id, "client_secret": job.client_secret, "grant_type": "client_credentials"}
        answer = self._session.post(f"{job.url}/oauth/token/", data=form, timeout=30)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self._database = psycopg.connect(job.database_url, autocommit=True) if job.stores else None

    def do(self, person: dict[str, Any]) -> None:
        """Make the account, enroll it, write the row. Raises Refused and what requests and psycopg raise."""
        answer = self._ask("createUser", self._job.document, person)
        codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
        if codes == ["AlreadyExists"]:
            user = self._ask("user", LOOK_UP, {"ref": person["ref"]})["data"]["user"]
        elif codes:
            raise Refused(", ".join(codes))
        else:
            user = answer["data"]["create"]["user"]
        if not user or not answer["data"]["enroll"]:
            raise Refused("no account or no enrollment")
        if self._database:
            enrollment = answer["data"]["enroll"][0]["id"]
            self._database.execute(UPSERT, (person["ref"], person["name"], person["email"], user["id"], enrollment))

    def _ask(self, name: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        body = {"query": document, "variables": variables, "operationName": name}
        answer = self._session.post(f"{self._job.url}/graphql/", json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


_own = threading.local()


def do(job: Job, person: dict[str, Any]) -> None:
    """Do it over the line of this thread, which is opened at the first person."""
    if not hasattr(_own, "line"):
        _own.line = Line(job)
    _own.line.do(person)


def when_told(work: Any) -> None:
    """Say so, wait for the sign to begin, work, say ``done``, and stay to be measured until ended."""
    say("ready to begin")
    while not Path(os.environ[GO]).exists():
        time.sleep(0.005)
    work()
    say("done")
    threading.Event().wait()


def say(word: str) -> None:
    """Print a line at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
