#!/bin/sh
# All tests of `make test`: lint, unit tests, e2e programs. Last line: "N passed, N failed, N skipped".
#   B      the build tree; UNIT: the unit test binaries; FULL=1: heavy sizes
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
export B
passed=0 failed=0 skipped=0
sums=$B/test/sums
mkdir -p "$B/test"
: >"$sums"
trap 'exit 130' INT TERM

# run NAME COMMAND...: shows what it says as it comes, and keeps its last line with the sums
run() {
	name=$1
	shift
	{ "$@" 2>&1 || echo "# $name: ended with status $?"; } | tee "$B/test/$name.out"
	line=$(grep "^# $name: [0-9]* passed, [0-9]* failed, [0-9]* skipped$" "$B/test/$name.out" | tail -n 1)
	if [ -z "$line" ]; then # it died
		echo "not ok - $name did not come to its end"
		line="# $name: 0 passed, 1 failed, 0 skipped"
	elif grep -q "^# $name: ended with status" "$B/test/$name.out" && [ "${line#*, 0 failed}" != "$line" ]; then
		line="# $name: 0 passed, 1 failed, 0 skipped"
	fi
	echo "$line" >>"$sums"
}

lint() {
	if ! git rev-parse --git-dir >/dev/null 2>&1; then
		echo "# lint: 0 passed, 0 failed, 1 skipped" # it looks at what git tracks
	elif sh test/lint.sh; then
		echo "# lint: 1 passed, 0 failed, 0 skipped"
	else
		echo "# lint: 0 passed, 1 failed, 0 skipped"
	fi
}

if [ -f test/lint.sh ]; then
	run lint lint
fi
# shellcheck disable=SC2086
[ -z "${UNIT:-}" ] || run unit sh test/run_unit.sh $UNIT
run e2e sh test/run_e2e.sh
run outside "$B/test/bin/outside" "$B/bin/ckpt"

while read -r _ _ p _ f _ s _; do
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done <"$sums"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
