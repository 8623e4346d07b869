#!/bin/sh
# Runs the e2e programs. Arguments go to the runner: names of programs, --ways plain,twice, --keep, --list,
# --cross /path/to/criu (who restores whose images, as a table).
#   CKPT   the checkpointer under test (build/bin/ckpt)
#   B      the build tree; FULL=1: heavy sizes
# Last line: "# e2e: N passed, N failed, N skipped".
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
B=${B:-build}
CKPT=${CKPT:-$B/bin/ckpt}
full=
case ${FULL:-0} in 0) ;; *) full=--full ;; esac
# shellcheck disable=SC2086
exec "$B/test/bin/e2e_runner" --tool "$CKPT" --programs "$B/test/e2e" --sources test/e2e --out "$B/e2e" $full "$@"
