"""Celery on Redis. ``python -m benchmarks.peers.celery_app`` puts one task a person into the queue."""

from __future__ import annotations

from typing import Any

from celery import Celery

from benchmarks.peers.job import Job, do, when_told

job = Job.read()


def broker_url() -> str:
    """The broker's URL in Celery's words: it has a name of its own for a socket."""
    scheme, _, rest = job.redis_url.partition("://")
    return f"redis+socket://{rest.replace('?db=', '?virtual_host=')}" if scheme == "unix" else job.redis_url


# How soon a dead worker's tasks come back: after an hour, looked for every hundred seconds. Or soon.
soon = {} if job.comes_back_after is None else {
    "visibility_timeout": job.comes_back_after, "unacked_mutex_expire": job.comes_back_after,
    "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
}  # fmt: skip
app = Celery("peers", broker=broker_url())
app.conf.update(
    task_ignore_result=True,
    task_acks_late=job.acks_late,
    task_reject_on_worker_lost=job.acks_late,
    broker_transport_options=soon,
)


@app.task(name="peers.enroll", autoretry_for=(Exception,), retry_backoff=True, max_retries=20)
def enroll(person: dict[str, Any]) -> None:
    """Do one person."""
    do(job, person)


def send() -> None:
    """One task a person."""
    for person in job.people:
        enroll.delay(person)


if __name__ == "__main__":
    when_told(send)
