# Which system packages are missing, and their installation with the user's consent. Sourced.

have() { command -v "$1" >/dev/null 2>&1; }
have_header() { [ -e "/usr/include/$1" ] || compgen -G "/usr/include/*/$1" >/dev/null; }
have_obs_plugins() {
    compgen -G '/usr/lib/*/obs-plugins/obs-ffmpeg.so' >/dev/null || [ -e /usr/lib/obs-plugins/obs-ffmpeg.so ]
}

# The C library of msgpack has another package name from Debian 13 on.
msgpack_package() {
    if apt-cache show libmsgpack-c-dev >/dev/null 2>&1; then echo libmsgpack-c-dev; else echo libmsgpack-dev; fi
}

# find_python: prints the newest Python that Limner runs on; fails when there is none.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        have "$candidate" || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# missing_packages PURPOSE (run or test): prints the packages to install, one a line.
missing_packages() {
    local python
    have obs || echo obs-studio
    have_obs_plugins || echo obs-plugins
    have_header obs/obs-module.h || echo libobs-dev
    have cc && have make || echo build-essential
    have cmake || echo cmake
    have ninja || echo ninja-build
    have pkg-config || echo pkg-config
    have_header zmq.h || echo libzmq3-dev
    have_header msgpack.h || msgpack_package
    if ! python=$(find_python); then
        printf 'python3.11\npython3.11-venv\n'
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    if [ "$1" = test ] || ! has_display; then
        have Xvfb || echo xvfb
        compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || echo libgl1-mesa-dri
    fi
    if [ "$1" = test ]; then
        have clang-format || echo clang-format
        have xdotool || echo xdotool
    fi
}

has_display() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

consent() {
    local answer
    [ "$assume_yes" = 1 ] && return 0
    [ -t 0 ] || die "These system packages are missing: $*. Run again with --yes to install them, or install them yourself."
    printf 'Limner needs these system packages: %s%s%s\nInstall them now? [Y/n] ' "$bold" "$*" "$plain"
    read -r answer
    case $answer in '' | [yY]*) return 0 ;; esac
    die "Nothing was installed. Install the packages yourself, or run again and answer y."
}

# system_packages PURPOSE: installs what is missing.
system_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$1")
    if [ "${#missing[@]}" -eq 0 ]; then
        say "${green}✓${plain} System packages: all there"
        return
    fi
    have apt-get || die "Limner's set-up knows Debian and Ubuntu; install what these packages hold by your system's own means, then run again: ${missing[*]}"
    consent "${missing[@]}"
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || die "Installing system packages needs root and there is no sudo. As root, run: apt-get install ${missing[*]}"
        say "Your password may be asked for by sudo."
        sudo -v || die "sudo refused. As root, run: apt-get install ${missing[*]}"
    fi
    step_advice="Try it by hand to see why: apt-get install ${missing[*]}"
    step "Installing system packages: ${missing[*]}" apt_install "${missing[@]}"
    step_advice=''
    mapfile -t missing < <(missing_packages "$1")
    [ "${#missing[@]}" -eq 0 ] || die "Still missing after the installation: ${missing[*]}. This system's packages are too old or named differently."
}
