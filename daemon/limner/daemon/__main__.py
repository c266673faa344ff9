"""`python -m limner.daemon`: no CLI packages.

Options: --engine=NAME --device=DEVICE --threads=N --wishes=JSON (Wishes) --ranks=JSON (RankOptions)
--runtime-dir=DIR --detach --parent=PID (to end with).
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from limner.daemon.config import DaemonConfig
from limner.daemon.rank_options import RankOptions
from limner.daemon.start import run
from limner.models.plan_choice import Wishes


def main(arguments: list[str]) -> int:
    """Start a daemon; return its exit code."""
    fields: dict[str, object] = {}
    try:
        for argument in arguments:
            match argument.split("=", 1):
                case ["--engine", name]:
                    fields["engine"] = name
                case ["--device", device]:
                    fields["device"] = device
                case ["--threads", count]:
                    fields["threads"] = int(count)
                case ["--wishes", wishes]:
                    fields["wishes"] = msgspec.json.decode(wishes, type=Wishes)
                case ["--ranks", options]:
                    fields["ranks"] = msgspec.json.decode(options, type=RankOptions)
                case ["--runtime-dir", folder]:
                    fields["runtime_dir"] = Path(folder)
                case ["--parent", pid]:
                    fields["parent_pid"] = int(pid)
                case ["--detach"]:
                    fields["detach"] = True
                case _:
                    raise ValueError(f"unknown option {argument!r}")
        config = DaemonConfig(**fields)  # type: ignore[arg-type]  # a value a field, by the cases above
    except (ValueError, msgspec.MsgspecError) as error:
        print(f"limner daemon: {error}", file=sys.stderr)
        return 2
    return run(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
