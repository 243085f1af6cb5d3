#!/bin/sh
# Runs the self-test of simxl in a folder of its own; cleans up in any case.
# usage: check.sh BUILD [TEST]
set -eu
build=$1
shift
base=/dev/shm
[ -w "$base" ] || base=${TMPDIR:-/tmp}
CHECK_DIR=$(mktemp -d "$base/simxl-check.XXXXXX")
SIMXL_TOOL=$build/simxl
export CHECK_DIR SIMXL_TOOL
cleanup() {
    for host in a b; do
        "$SIMXL_TOOL" --host "$CHECK_DIR/$host" destroy-all || true
    done
    rm -rf "$CHECK_DIR"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
"$build/simxl-check" "$@"
