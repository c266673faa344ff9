"""The GPUs of this machine, by `nvidia-smi`: no torch, which takes seconds to import.

`cards_from` understands what the tool says; `cards` asks it. What is in the way becomes one sentence.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass

MIB = 2**20
TIMEOUT_S = 5.0
FIELDS = ("index", "name", "memory.total", "memory.free", "compute_cap", "driver_version", "mig.mode.current")
QUERY = (f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
FP8_CAPABILITY = (8, 9)
LEAST_CAPABILITY = (7, 5)
"""What torch's builds of now are made for, from NVIDIA's RTX 20 on."""

# What the tool says where it fails, and what that means. In this order: the first that is found counts.
_FAULTS = (
    (
        "version mismatch",
        "the NVIDIA driver was updated and the old one still runs (driver/library version mismatch)",
        "restart the machine",
    ),
    (
        "nsufficient permissions",
        "this user may not use the GPU (NVML: insufficient permissions)",
        "ask who runs this machine for access to /dev/nvidia*",
    ),
    ("not a valid field", "the NVIDIA driver is too old to be asked", "install a current NVIDIA driver"),
    ("gpu is lost", "the GPU is lost: it answers no more", "restart the machine"),
    (
        "communicate with the nvidia driver",
        "no NVIDIA driver runs",
        "install the NVIDIA driver, or restart the machine if it was installed just now",
    ),
    (
        "unknown error",
        "the driver gives no access to the GPU (NVML: unknown error)",
        "in a container, start it anew; else restart the machine",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU as it is now."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int
    """What no other program holds."""
    capability: tuple[int, int]
    """Compute capability, such as (8, 9)."""
    driver: str = ""

    @property
    def has_fp8(self) -> bool:
        """Its tensor cores multiply 8-bit floats."""
        return self.capability >= FP8_CAPABILITY


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a GPU cannot be used, and what to do."""

    text: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class Cards:
    """What there is."""

    cards: tuple[Card, ...] = ()
    faults: tuple[Fault, ...] = ()
    """Empty as well as `cards`: there is no NVIDIA GPU, and nothing is wrong with that."""

    @property
    def best(self) -> Card | None:
        """The one with the most free memory, of those that are not too old; None: none can be used."""
        return max(
            self.cards, key=lambda card: (card.capability >= LEAST_CAPABILITY, card.free_bytes), default=None
        )


def cards(tool: str | None = None) -> Cards:
    """Ask `nvidia-smi`. Takes a tenth of a second, five at the most."""
    found = tool or shutil.which("nvidia-smi")
    if found is None:
        return Cards()
    try:
        done = subprocess.run(
            [found, *QUERY], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _one(f"nvidia-smi says nothing for {TIMEOUT_S:.0f} s", "restart the machine")
    except OSError as error:
        return _one(f"{found} cannot be run: {error.strerror}", "check the NVIDIA driver")
    return cards_from(done.returncode, done.stdout, done.stderr)


def cards_from(code: int, out: str, err: str = "") -> Cards:
    """Understand what the tool said: exit code, standard output and error."""
    if code:
        return Cards(faults=(_fault_of(f"{out}\n{err}"),))
    rows = list(csv.reader(out.splitlines(), skipinitialspace=True))
    read = [_card_of(row) for row in rows if row]
    return Cards(
        cards=tuple(one for one in read if isinstance(one, Card)),
        faults=tuple(one for one in read if isinstance(one, Fault)),
    )


def _card_of(row: list[str]) -> Card | Fault:
    if len(row) != len(FIELDS):
        return Fault(text=f"nvidia-smi says {', '.join(row)!r}", advice="check the NVIDIA driver")
    index, name, total, free, capability, driver, mig = (part.strip() for part in row)
    if mig == "Enabled":
        return Fault(
            text=f"{name} is divided into instances (MIG), which Limner cannot measure",
            advice="switch MIG off (nvidia-smi -mig 0), or give Limner another GPU",
        )
    numbers = re.fullmatch(r"(\d+) (\d+) (\d+) (\d+)\.(\d+)", f"{index} {total} {free} {capability}")
    if numbers is None:
        return Fault(
            text=f"{name} does not tell its memory (total {total}, free {free}) or kind ({capability})",
            advice="check the NVIDIA driver, and in a container, what it may see of the GPU",
        )
    number, total_mib, free_mib, major, minor = map(int, numbers.groups())
    return Card(
        index=number,
        name=name,
        total_bytes=total_mib * MIB,
        free_bytes=free_mib * MIB,
        capability=(major, minor),
        driver=driver,
    )


def _fault_of(said: str) -> Fault:
    low = said.lower()
    if "no devices were found" in low:
        return Fault(text="a driver, but no NVIDIA GPU", advice="nothing, if there is none in this machine")
    for words, text, advice in _FAULTS:
        if words in low:
            return Fault(text=text, advice=advice)
    first = next((line.strip() for line in said.splitlines() if line.strip()), "nothing")
    return Fault(text=f"nvidia-smi says: {first}", advice="check the NVIDIA driver")


def _one(text: str, advice: str) -> Cards:
    return Cards(faults=(Fault(text=text, advice=advice),))
