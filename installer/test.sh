#!/usr/bin/env bash
# Sets up what the tests need and runs all of them: style, types, borders, C, and pytest with a real OBS.
# Arguments go to pytest: bash installer/test.sh -m "not obs" tests/daemon
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$root/installer/lib/say.sh"
. "$root/installer/lib/system.sh"
. "$root/installer/lib/python.sh"

assume_yes=0
[ "${CI:-}" = true ] && assume_yes=1
if [ "${1:-}" = --yes ]; then
    assume_yes=1
    shift
fi

# check TITLE COMMAND...: like step, but goes on, and remembers what failed.
failed=()
check() {
    local title=$1 started=$SECONDS
    shift
    if "$@" >"$root/build/check.out" 2>&1 </dev/null; then
        printf '%s✓%s %s %s(%d s)%s\n' "$green" "$plain" "$title" "$dim" "$((SECONDS - started))" "$plain"
        return
    fi
    tail -n 60 "$root/build/check.out"
    printf '%s✗ %s%s\n' "$red" "$title" "$plain"
    failed+=("$title")
}

c_files_are_formatted() {
    find obs_bridge/plugin/src obs_bridge/plugin/tests tests/end_to_end/native -name '*.[ch]' -print0 |
        xargs -0 clang-format --dry-run -Werror
}

c_builds_without_warnings() {
    cmake -S obs_bridge/plugin -B build/plugin-test -G Ninja -DLIMNER_WERROR=ON && ninja -C build/plugin-test
}

cd "$root"
start_log test-setup
say "${bold}Limner: tests${plain} (details of the set-up go to build/test-setup.log)"
system_packages test
python_environment test

PATH=$root/.venv/bin:$PATH
check "ruff: style" ruff check
check "ruff: format" ruff format --check
check "mypy --strict" mypy
check "import-linter: borders between the packages" lint-imports
check "clang-format" c_files_are_formatted
check "C: builds with warnings as errors" c_builds_without_warnings

if [ "${#failed[@]}" -eq 0 ]; then
    say "The checks passed; now the tests (with AddressSanitizer for the C code, and a real OBS)."
else
    say "${red}Failed: ${failed[*]}.${plain} The tests follow all the same."
fi
code=0
python -m pytest "$@" || code=$?
if [ "${#failed[@]}" -ne 0 ]; then
    die "These checks failed: ${failed[*]}. Their output is above the tests'."
fi
exit "$code"
