"""`python -m limner.obs_bridge`: started by the daemon when there are rules, never by hand."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from limner.daemon.client import Client, ClientError
from limner.daemon.style_file import StylesError, built_in, own_file
from limner.daemon.style_watch import StyleWatch
from limner.models.paths import state_dir
from limner.obs_bridge.addresses import addresses
from limner.obs_bridge.controller import Controller

log = logging.getLogger("limner.obs")
EXIT_NO_DAEMON = 3


def main() -> int:
    """Run until the daemon ends; return the exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        parent = os.pidfd_open(arguments.parent)
    except ProcessLookupError:
        return 0
    try:
        styles = StyleWatch(built_in(arguments.engine), own_file())
        with Client(arguments.runtime_dir) as client:
            controller = Controller(client, styles, addresses, state_dir() / "obs-loans.json")
            signal.signal(signal.SIGTERM, controller.stop)
            controller.run(parent)
    except (ClientError, StylesError) as error:
        log.info("%s", error)
        return EXIT_NO_DAEMON
    finally:
        os.close(parent)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="limner.obs_bridge", description=__doc__)
    parser.add_argument("--runtime-dir", type=Path, required=True, help="folder of the daemon's sockets")
    parser.add_argument("--engine", required=True, help="what paints: its styles are in the box")
    parser.add_argument("--parent", type=int, required=True, help="process id of the daemon")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
