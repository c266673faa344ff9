"""`python -m limner.installer install|where|start`: the Python part of installer/run.sh."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from limner.installer import desktop, plugin, ready_scene, unseen
from limner.installer.command import CommandError, link_command
from limner.installer.obs_process import ObsError

ROOT = Path(__file__).resolve().parents[3]
# Next to the interpreter of the environment, links unresolved: that is where pip puts scripts.
LIMNER = Path(sys.executable).parent / "limner"


def install() -> None:
    """Build the plugin, install it for this user, and make `limner` reachable from a shell."""
    build = ROOT / "build" / "plugin"
    plugin.build(ROOT / "obs_bridge" / "plugin", build, "-DLIMNER_TESTS=OFF")
    target = plugin.install(build, plugin.user_obs_dir(), LIMNER)
    print(f"plugin: {target}")
    print(f"command: {link_command(LIMNER)}")


def where() -> None:
    """Say in two lines where things are."""
    print(f"  The OBS plugin is in {plugin.user_obs_dir() / 'plugins' / plugin.PLUGIN}")
    link = link_command(LIMNER)
    reachable = str(link.parent) in os.environ.get("PATH", "").split(os.pathsep)
    advice = "" if reachable else f" (not in your PATH; call it by that name, or add {link.parent} to PATH)"
    print(f"  The command is {link}{advice}")


def start(*, headless: bool) -> None:
    """Run the main job: OBS with a live source that Limner paints."""
    if headless or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        unseen.run(ROOT, LIMNER)
    else:
        desktop.run(ROOT, LIMNER)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code; what a person can mend is one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="limner-installer", description="Set up Limner for this user.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="build and install the OBS plugin, link the limner command")
    commands.add_parser("where", help="say where things are")
    starter = commands.add_parser("start", help="run OBS with a painted source")
    starter.add_argument("--headless", action="store_true", help="unseen, even when there is a display")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "install":
            install()
        elif chosen.command == "where":
            where()
        else:
            start(headless=chosen.headless)
    except (plugin.PluginError, CommandError, ObsError, ready_scene.SceneError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'a file'}: {error.strerror}; check its permissions", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
