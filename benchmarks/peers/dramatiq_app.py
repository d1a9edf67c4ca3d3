"""dramatiq on Redis. ``python -m benchmarks.peers.dramatiq_app`` puts one message a person into the queue."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.job import Job, do, when_told

job = Job.read()
# How soon a dead worker's messages come back: by the heartbeat, noticed by one in a thousand commands. Or by each.
soon = {} if job.comes_back_after is None else {
    "heartbeat_timeout": job.comes_back_after * 1000, "maintenance_chance": 1_000_000,
}  # fmt: skip
dramatiq.set_broker(RedisBroker(url=job.redis_url, **soon))


@dramatiq.actor(actor_name="peers.enroll")
def enroll(person: dict[str, Any]) -> None:
    """Do one person."""
    do(job, person)


def send() -> None:
    """One message a person."""
    for person in job.people:
        enroll.send(person)


if __name__ == "__main__":
    when_told(send)
