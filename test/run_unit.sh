#!/bin/sh
# Runs the unit test binaries given as arguments and adds up what they say ("100%: Checks: 12, Failures: 0, Errors: 0").
# Last line: "# unit: N passed, N failed, N skipped". A binary that says nothing of the kind counts as one failure.
set -u
passed=0 failed=0
for binary; do
	name=$(basename "$binary")
	output=$("$binary" 2>&1)
	status=$?
	sums=$(printf '%s\n' "$output" | sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' |
		awk '{ c += $1; f += $2 + $3 } END { if (NR) print c, f }')
	if [ -z "$sums" ]; then
		sums="1 1"
	elif [ "$status" -ne 0 ] && [ "${sums#* }" = 0 ]; then
		sums="$((${sums% *} + 1)) 1" # every check passed, but the end did not: a leak, say
	fi
	bad=${sums#* }
	failed=$((failed + bad))
	passed=$((passed + ${sums% *} - bad))
	if [ "$bad" -eq 0 ] && [ "$status" -eq 0 ]; then
		echo "ok - unit $name: ${sums% *} checks"
	else
		echo "not ok - unit $name: $bad of ${sums% *} failed (status $status)"
		printf '%s\n' "$output" | sed 's/^/#   /'
	fi
done
echo "# unit: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
