# The virtual environment in .venv, from the lock files. Sourced.

lock=installer/lock

# environment_stamp FLAVOUR: a digest of everything that decides what the environment holds.
environment_stamp() {
    {
        printf '%s\n' "$root" "$1"
        cat "$lock/requirements.lock" "$lock/torch.lock" "$lock/torch-cpu.lock" pyproject.toml
        [ "$1" = test ] && cat "$lock/requirements-dev.lock"
        "$root/.venv/bin/python" -VV
    } 2>/dev/null | sha256sum | cut -d' ' -f1
}

environment_is_current() {
    local flavour
    for flavour in "$@"; do
        [ "$(cat ".venv/limner-$flavour.stamp" 2>/dev/null)" = "$(environment_stamp "$flavour")" ] && return 0
    done
    return 1
}

# An environment that was made elsewhere (a moved checkout) has scripts that point there.
make_venv() {
    if grep -qsF -- "$root/.venv" .venv/pyvenv.cfg && .venv/bin/python -m pip --version; then return; fi
    "$(find_python)" -m venv --clear "$root/.venv"
}

pip_install() { .venv/bin/python -m pip install --disable-pip-version-check --no-input "$@"; }

has_nvidia() { have nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# torch comes apart from the rest: the same version has builds with and without CUDA (3 GB apart).
install_torch() {
    if ! has_nvidia; then
        pip_install --require-hashes --no-deps -r "$lock/torch-cpu.lock" && return
        # Another Python or CPU than the locked file is for: whatever the user's own pip configuration offers.
        pip_install --no-deps "$(grep -o '^torch==[^ ]*' "$lock/torch-cpu.lock")" && return
        echo "This machine's pip offers no torch without CUDA; the one with CUDA works as well, but is large."
    fi
    pip_install --require-hashes --no-deps -r "$lock/torch.lock"
    # The CUDA libraries that exactly this torch asks for.
    pip_install -r "$lock/torch.in"
}

install_limner() { pip_install --no-deps --no-build-isolation --quiet -e .; }

# python_environment FLAVOUR (run or test): seconds when nothing changed.
python_environment() {
    # What tests need includes what a run needs.
    if environment_is_current "$1" test; then
        say "${green}✓${plain} Python environment: up to date"
        return
    fi
    local requirements=$lock/requirements.lock
    [ "$1" = test ] && requirements=$lock/requirements-dev.lock
    rm -f .venv/limner-*.stamp
    step "Making a Python environment in .venv" make_venv
    step_advice="Is there a network connection and room on the disk? The output is in $log."
    step "Installing the locked Python packages (a minute)" pip_install --require-hashes -r "$requirements"
    step "Installing PyTorch (200 MB; 3 GB with CUDA)" install_torch
    step "Installing Limner into the environment" install_limner
    step "Checking the environment" .venv/bin/python -m pip check
    step_advice=''
    environment_stamp "$1" >".venv/limner-$1.stamp"
}
