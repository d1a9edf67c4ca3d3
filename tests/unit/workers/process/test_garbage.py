"""A long-lived process does not look through everything it has loaded, again and again."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOOKS = """
import gc
from workers.process import garbage
{module}
threshold = gc.get_threshold()[0]
{call}
print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > threshold)
"""
# Both up to the moment when they begin to work: what comes then says what holds by then.
_WORKER = """
import dramatiq
class Begun(Exception): pass
def begin(*given, **named): raise Begun
dramatiq.Worker = begin
worker.broker.emit_after = lambda *given: None
try: worker.run_worker()
except Begun: pass
"""
_SERVE = """
app.environment.need_all = lambda: None
app.alerts.start = lambda stopping: [app.Loop("none", lambda: None, stopping)]
app.alerts.start(None)
class Begun(Exception): pass
def begin(*given): raise Begun
app.server.run = begin
import threading
threading.Thread.start = lambda self: None
threading.Thread.join = lambda self, seconds: None
try: app.serve("127.0.0.1", 8000, child=False, no_login=True)
except Begun: pass
"""


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("", "garbage.look_seldom()"),
        ("from workers.process import worker", _WORKER),
        ("from ops.http import app", _SERVE),
    ],
    ids=["itself", "worker", "serve"],
)
def test_what_is_loaded_is_left_alone_from_the_beginning(module: str, call: str) -> None:
    code = _LOOKS.format(module=module, call=call)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["True", "True"], done.stderr[-2000:]
