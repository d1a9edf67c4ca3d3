"""``python -m simulators afas|pluvo [--host A] [--port N] [--empty]``: one simulator in the foreground, filled."""

from __future__ import annotations

import argparse

from simulators.afas import AfasSimulator
from simulators.core.server import serve
from simulators.pluvo import PluvoSimulator
from simulators.sample_data.tenants import world


def main(system: str, port: int = 0, *, empty: bool = False, host: str = "127.0.0.1") -> None:
    """Serve one simulator until it is stopped; prints ``ready http://127.0.0.1:PORT``."""
    if empty:
        serve(AfasSimulator().app if system == "afas" else PluvoSimulator().app, host, port)
        return
    made = world()
    serve(made.afas.app if system == "afas" else made.pluvo.app, host, port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulators", description=__doc__)
    parser.add_argument("system", choices=["afas", "pluvo"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--empty", action="store_true", help="without tenants; put some in through /_control/state")
    given = parser.parse_args()
    main(given.system, given.port, empty=given.empty, host=given.host)
