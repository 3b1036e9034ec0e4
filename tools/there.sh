#!/bin/sh
# Whether what tools/packages looks for is there: for the launcher and for the doctor, which read it in.

# is_there PROBE: whether one of the commands or files that the probe names, with | between them, is there.
is_there() {
    set -f
    IFS='|'
    # shellcheck disable=SC2086 # the alternatives are words
    set -- $1
    unset IFS
    set +f
    for one in "$@"; do
        case $one in
        /*) for file in $one; do [ ! -e "$file" ] || return 0; done ;;
        *) ! command -v "$one" >/dev/null 2>&1 || return 0 ;;
        esac
    done
    return 1
}
