#!/bin/sh
# The question whether a program of tools/packages is there, by its name on this host.
# The launcher and the doctor read this file in.

# CROSS: the prefix of the names of the compiler and of binutils. Empty, unless this host is no x86-64.
if [ -z "${CROSS+set}" ]; then
    case $(uname -m) in
    x86_64 | amd64) CROSS= ;;
    *) CROSS=x86_64-linux-gnu- ;;
    esac
fi
export CROSS

# here GROUPS PACKAGE PROBE: sets package and probe to what a row of tools/packages means on this host.
# shellcheck disable=SC2034 # for those that read this file in
here() {
    package=$2 probe=$3
    [ -n "$CROSS" ] || return 0
    case $1:$2 in
    run*:gcc | run*:g++ | run*:binutils) package=$2-x86-64-linux-gnu probe=$CROSS$3 ;;
    gdb:gdb) package=gdb-multiarch probe="gdb-multiarch" ;;
    esac
}

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
