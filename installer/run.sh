#!/usr/bin/env bash
# Sets Limner up and shows it: system packages, Python environment, OBS plugin, then OBS with a painted source.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$root/installer/lib/say.sh"
. "$root/installer/lib/system.sh"
. "$root/installer/lib/python.sh"

usage() {
    cat <<'TEXT'
bash installer/run.sh [options]

Sets up Limner for this user and runs it once: a live source in OBS, painted.
With a display, OBS opens with a scene collection "Limner". Without one, OBS runs unseen for a quarter of a
minute and leaves a recording, a contact sheet and figures in out/.

  --yes          install missing system packages without asking
  --no-start     only set up
  --headless     run unseen even when there is a display
  --help         this text
TEXT
}

assume_yes=0 start=1
start_options=()
for argument in "$@"; do
    case $argument in
        --yes | -y) assume_yes=1 ;;
        --no-start) start=0 ;;
        --headless) unset DISPLAY WAYLAND_DISPLAY; start_options+=(--headless) ;;
        --help | -h) usage; exit 0 ;;
        *) die "Unknown option $argument; see: bash installer/run.sh --help" ;;
    esac
done

cd "$root"
start_log setup
say "${bold}Limner: set-up${plain} (details go to build/setup.log)"
system_packages run
python_environment run
step "Building and installing the OBS plugin" .venv/bin/python -m limner.installer install
.venv/bin/python -m limner.installer where
if [ "$start" = 0 ]; then
    say "Limner is set up. Start it with: bash installer/run.sh"
    exit 0
fi
exec .venv/bin/python -m limner.installer start "${start_options[@]}"
