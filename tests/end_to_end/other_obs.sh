#!/usr/bin/env bash
# The end-to-end tests against another OBS than this machine's: 30 (Debian 13) or 32 (Debian 14).
#
#     sudo bash tests/end_to_end/other_obs.sh 30 [pytest's arguments]
#
# OBS, and the compiler that builds the plugin for it, live in a folder of their own (build/other_obs, 1.5 GB, made
# once); tests and daemon run outside. What is mounted there goes by itself with the last process of this script.
# Needs root, mmdebstrap, and what installer/test.sh sets up. The mirror is that of this machine's apt, or $MIRROR.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
. "$root/installer/lib/say.sh"

version=${1:?which OBS: 30 or 32?}
case $version in
30) suite=trixie ;;
32) suite=forky ;;
*) die "OBS $version: no Debian suite has it; 30 and 32 can be had." ;;
esac
[ "$(id -u)" -eq 0 ] || die "Another system's programs are run in a folder of their own; that needs root: sudo bash $0 $*"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
python=$root/.venv/bin/python
[ -x "$python" ] || die "$root/.venv is missing: bash installer/test.sh makes it"
# A mount namespace of our own: nothing to clean up, however this ends.
[ "${LIMNER_OWN_MOUNTS:-}" = 1 ] || LIMNER_OWN_MOUNTS=1 exec unshare --mount --propagation private bash "$0" "$@"
shift

place=$root/build/other_obs
system=$place/$suite
tools=$place/$suite-tools

apts_mirror() {
    apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
        awk '$2 == "main" && $1 ~ /\/debian\/$/ { print $1; exit }'
}

make_system() {
    local mirror=${MIRROR:-$(apts_mirror)}
    [ -n "$mirror" ] || die "apt knows no Debian mirror; name one: MIRROR=https://…/debian/ bash $0 $version"
    say "Debian $suite with its OBS is unpacked to $system (a minute)"
    rm -rf "$system.part"
    # A mirror may be frozen: what it signed is as true as it was. libgl1: every desktop has it, so OBS takes it for given.
    mmdebstrap --quiet --variant=apt \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
        --include=obs-studio,obs-plugins,libobs-dev,libgl1,libgl1-mesa-dri,pkg-config,cmake,ninja-build,gcc,libc6-dev \
        --include=libzmq3-dev,libmsgpack-c-dev,libsimde-dev \
        "$suite" "$system.part" "$mirror" || die "Debian $suite cannot be had from apt's mirror; name another: MIRROR=…"
    mv "$system.part" "$system"
}

# show FOLDER...: each folder is in that system under the same name.
show() {
    local folder
    for folder in "$@"; do
        mkdir -p "$system$folder"
        mount --rbind "$folder" "$system$folder"
    done
}

# make_tool NAME: what runs that system's program under the process id of its caller.
make_tool() {
    local path=/usr/sbin:/usr/bin:/sbin:/bin
    printf '#!/bin/sh\nexec chroot %q /usr/bin/env PATH=%s %s "$@"\n' "$system" "$path" "$1" >"$tools/$1"
    chmod +x "$tools/$1"
}

[ -d "$system" ] || make_system
rm -rf "$tools"
mkdir -p "$tools"
for tool in obs cmake ninja; do make_tool "$tool"; done

venv=$(readlink -f "$root/.venv")
# The filter starts the daemon by itself, from that system: the Python that runs it must be there, too.
base=$("$python" -c 'import sys; print(sys.base_prefix)')
skipped=()
show /proc /sys /dev /tmp
case $root in /tmp/*) ;; *) show "$root" ;; esac
case $venv in "$root"/* | /tmp/*) ;; *) show "$venv" ;; esac
case $base in
/usr | /usr/*) skipped=(--deselect tests/end_to_end/test_daemon_start.py::test_the_filter_starts_the_daemon_and_is_served) ;;
*) show "$base" ;;
esac

found=$("$tools/obs" --version)
case $found in
*" $version."*) say "${green}✓${plain} $found" ;;
*) die "Debian $suite has another OBS by now: $found, not $version" ;;
esac
[ "${#skipped[@]}" -eq 0 ] || say "Left out: the filter starts the daemon (Python is Debian's own: ${suite}'s is another one)"

cd "$root"
[ "$#" -gt 0 ] || set -- tests/end_to_end
PATH=$tools:$root/.venv/bin:$PATH LIMNER_TEST_BUILD=$place/$suite-build \
    "$python" -m pytest -p no:cacheprovider "${skipped[@]}" "$@"
