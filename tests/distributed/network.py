"""Another machine, as far as the network goes: a namespace with an address of its own and a cable to pull."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

HERE, THERE = "10.213.77.1", "10.213.77.2"


@dataclass(frozen=True)
class Machine:
    """The other one."""

    name: str

    @property
    def command(self) -> list[str]:
        """What a command there begins with."""
        return ["ip", "netns", "exec", self.name]

    def pull_cable(self) -> None:
        """No packet gets through, and nobody is told so."""
        _ip("link", "set", f"{self.name}h", "down")

    def plug_in(self) -> None:
        """Packets get through again."""
        _ip("link", "set", f"{self.name}h", "up")


@contextlib.contextmanager
def other_machine() -> Iterator[Machine]:
    """One at THERE, which this one at HERE reaches; skips the test where that may not be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = f"lim{secrets.token_hex(3)}"
    machine, inside = Machine(name), f"{name}n"
    try:
        try:
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", inside, "netns", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        _ip("addr", "add", f"{HERE}/24", "dev", f"{name}h")
        _ip("-n", name, "addr", "add", f"{THERE}/24", "dev", inside)
        for where, link in (((), f"{name}h"), (("-n", name), inside), (("-n", name), "lo")):
            _ip(*where, "link", "set", link, "up")
        yield machine
    finally:
        subprocess.run(["ip", "link", "del", f"{name}h"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
