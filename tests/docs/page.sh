# What stands before the commands of a page: one shell runs them all, and stops at the first that fails.
set -Eeo pipefail
trap 'echo "$PLACE: ended with $?: $BASH_COMMAND" >&2' ERR
DEADLINE_S=120
running=()

at() {
    PLACE=$1
    echo "== $PLACE ($SECONDS s)"
}

# eventually COMMAND...: try until it does not fail.
eventually() {
    local deadline=$((SECONDS + DEADLINE_S))
    until "$@" &>/dev/null; do
        ((SECONDS < deadline))
        sleep 0.2
    done
}

# shows JOB LOG PATTERN: wait until the output of a command in the background shows it; not for one that has ended.
shows() {
    eventually shown_or_ended "$@"
    grep -Eq -e "$3" "$2"
}

shown_or_ended() {
    grep -Eq -e "$3" "$2" || ! kill -0 "$1"
}

# note: after each command. One may have failed before `&&`, which does not stop a shell, or may have left another in
# the background, which `jobs` forgets when it ends.
note() {
    local code=$?
    if [[ -n $! && " ${running[*]} " != *" $! "* ]]; then
        running+=("$!")
    fi
    return "$code"
}

# stop JOB...: end all commands in the background but these, as systemd does; each must end with 0, or was killed by
# the page itself.
stop() {
    local job ended=0 left=()
    for job in "${running[@]}"; do
        if [[ " $* " == *" $job "* ]]; then
            left+=("$job")
        else
            kill -TERM "$job" 2>/dev/null || true
            wait "$job" || ended=$?
            if ((ended != 0 && ended != 137)); then
                return "$ended"
            fi
        fi
    done
    running=("${left[@]}")
}
