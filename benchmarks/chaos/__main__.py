"""``python -m benchmarks.chaos [--minutes 10] [--seed N] [--people 2000]``: 0 when nothing got lost or doubled."""

from __future__ import annotations

import argparse
import random
import sys
import time

from benchmarks.chaos.rounds import chaos


def main() -> int:
    """Run, tell what happened, print the verdict."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--people", type=int, default=2000)
    given = parser.parse_args()
    begun = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begun:6.0f} s  {line}\n")
        sys.stdout.flush()

    say(f"seed {given.seed}, {given.people} people, at least {given.minutes:g} minutes")
    verdict = chaos(seed=given.seed, seconds=given.minutes * 60, people=given.people, say=say)
    say("")
    sys.stdout.write(verdict.text() + "\n")
    return 1 if verdict.losses else 0


if __name__ == "__main__":
    sys.exit(main())
