"""Machines of their own, as far as the network goes: Linux network namespaces on one bridge.

The bridge's own address is where the servers are. ``Host.cut`` takes a machine off the net, with its cable (``link``:
the kernel notices) or without a word (``silent``: packets vanish, and each side only waits).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.system import ROOT, STOP_SECONDS


class NoNamespaces(Exception):
    """This machine's kernel, or its rights, allow none; the text holds what ``ip`` said."""


@dataclass
class Host:
    """One machine: ``run`` starts processes on it."""

    net: Net
    number: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its namespace."""
        return f"{self.net.name}h{self.number}"

    @property
    def address(self) -> str:
        """Where it is on the bridge."""
        return f"{self.net.prefix}.{10 + self.number}"

    @property
    def _port(self) -> str:
        return f"{self.net.name}v{self.number}"

    def plug_in(self) -> None:
        """Make it and connect it."""
        ip, inside = self.net.ip, f"{self.net.name}e{self.number}"
        ip("netns", "add", self.name)
        ip("link", "add", self._port, "type", "veth", "peer", "name", inside, "netns", self.name)
        ip("link", "set", self._port, "master", self.net.name, "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", inside)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", inside, "up")

    def run(self, words: list[str], log: Path, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process on this machine, in a session of its own, its output in ``log``."""
        command = [self.net.program, "netns", "exec", self.name, *words]
        with log.open("ab") as out:
            child = subprocess.Popen(  # noqa: S603  our own command
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=ROOT,
                env={**os.environ, **(variables or {})},
            )  # fmt: skip
        self.started.append(child)
        return child

    def worker(self, log: Path, threads: int = 4, processes: int = 1) -> subprocess.Popen[bytes]:
        """``koppeling worker`` on it."""
        words = [sys.executable, "-m", "ops.cli", "worker", "--threads", str(threads), "--processes", str(processes)]
        return self.run(words, log)

    def cut(self, how: str) -> None:
        """Off the net: ``link`` (the cable) or ``silent``."""
        self.net.ip("link", "set", self._port, *(["down"] if how == "link" else ["nomaster"]))

    def join(self) -> None:
        """On the net again."""
        self.net.ip("link", "set", self._port, "master", self.net.name, "up")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all that runs on it."""
        for each in self._processes():
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def lose_power(self) -> None:
        """Everything on it is gone, and nobody is told."""
        self.cut("silent")
        self.signal(signal.SIGKILL)

    def _processes(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for child in self.started:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                found += [process, *process.children(recursive=True)]
        return found

    def end(self) -> None:
        """Stop what runs on it, and take it away."""
        self.signal(signal.SIGCONT)
        left = self._processes()
        for child in self.started:
            if child.poll() is None:
                child.terminate()
        for child in self.started:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        for child in self.started:
            child.wait()
        for words in (("link", "delete", self._port), ("netns", "delete", self.name)):
            with suppress(NoNamespaces):
                self.net.ip(*words)


@dataclass
class Net:
    """A bridge; ``address`` is its own, where servers listen."""

    program: str
    name: str
    prefix: str
    hosts: list[Host] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the servers are."""
        return f"{self.prefix}.1"

    def host(self) -> Host:
        """One more machine."""
        made = Host(self, len(self.hosts) + 1)
        self.hosts.append(made)
        made.plug_in()
        return made

    def ip(self, *words: str) -> None:
        """``ip`` with these words."""
        done = subprocess.run([self.program, *words], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def net(program: str | None = None) -> Iterator[Net]:
    """A network without machines; everything of it is gone afterwards. Raises NoNamespaces."""
    program = program or shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise NoNamespaces("there is no ip (package iproute2)")
    number = os.getpid() % 10_000
    made = Net(program, f"kf{number}", f"10.79.{number % 250}")
    with ExitStack() as stack:
        made.ip("link", "add", made.name, "type", "bridge")
        stack.callback(lambda: made.ip("link", "delete", made.name))
        made.ip("address", "add", f"{made.address}/24", "dev", made.name)
        made.ip("link", "set", made.name, "up")
        try:
            yield made
        finally:
            for each in made.hosts:
                each.end()
