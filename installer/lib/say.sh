# Messages and steps for the scripts of installer/. Sourced; sets nothing going by itself.

if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }

# die SENTENCE: says what is wrong and what to do, and ends the script.
die() {
    printf '%s%s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

# step TITLE COMMAND...: runs the command with its output in $log, says how long it took; dies with the end of
# the output when it fails. A command may leave one more sentence for that case in $step_advice.
step_advice=''
step() {
    local title=$1 started=$SECONDS first
    shift
    printf '%s…%s %s\n' "$dim" "$plain" "$title"
    first=$(wc -l <"$log")
    # In a subshell of its own, outside any condition, so that errexit holds inside the step as well.
    set +e
    (set -e; "$@") >>"$log" 2>&1 </dev/null
    local code=$?
    set -e
    if [ "$code" -ne 0 ]; then
        tail -n "+$((first + 1))" "$log" | tail -n 15 >&2
        die "$title: failed (code $code). ${step_advice:-All of its output is in $log.}"
    fi
    printf '%s✓%s %s %s(%d s)%s\n' "$green" "$plain" "$title" "$dim" "$((SECONDS - started))" "$plain"
}

start_log() {
    log=$root/build/$1.log
    mkdir -p "$root/build" || die "Cannot write in $root; check the folder's permissions."
    : >"$log" || die "Cannot write $log; check the folder's permissions."
}
