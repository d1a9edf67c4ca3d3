"""``python -m benchmarks.peers.script [--threads 8]``: a script, one person after the other or in threads.

Started again after a crash it skips those whose row is there.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg

from benchmarks.peers.job import Job, do, when_told


def main() -> None:
    """Read the job and do what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="0: one person after the other")
    given = parser.parse_args()
    job = Job.read()
    when_told(partial(work, job, given.threads))


def work(job: Job, threads: int) -> None:
    """Do everybody who is not done. Raises what the first person raised, like any script."""
    done: set[str] = set()
    if job.stores:
        with psycopg.connect(job.database_url) as connection:
            done = {ref for (ref,) in connection.execute("SELECT ref FROM peer")}
    left = [person for person in job.people if person["ref"] not in done]
    if not threads:
        for person in left:
            do(job, person)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(partial(do, job), left):
            pass


if __name__ == "__main__":
    main()
