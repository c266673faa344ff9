#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml, with hashes and without the name of any registry.
# Needs uv (UV=path of it, else the one in .venv). Look at the diff before you commit it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
uv=${UV:-$root/.venv/bin/uv}
cd "$root"

compile() {
    "$uv" pip compile --quiet --config-file installer/lock/uv.toml --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-package torch \
        --custom-compile-command "bash installer/lock/update.sh" -c installer/lock/torch.in "$@"
}

compile pyproject.toml installer/lock/build.in -o installer/lock/requirements.lock
compile pyproject.toml installer/lock/build.in --extra dev -c installer/lock/requirements.lock \
    -o installer/lock/requirements-dev.lock
"$uv" pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "bash installer/lock/update.sh" installer/lock/torch.in -o installer/lock/torch.lock
