#!/bin/bash
# Real program: a bash loop that stamps lines into a file. Nothing lost: the numbers have no gap and no double.
# The runner calls: run DIR (becomes the tree), ready DIR (in the middle of its work?), check DIR (right in the end?).
dir=$2
case $1 in
run)
	i=0
	while [ ! -e "$dir/check" ] || [ "$i" -lt 200 ]; do
		i=$((i + 1))
		echo "$i $(date +%s.%N)"
		sleep 0.001
	done >"$dir/stamps"
	;;
ready)
	[ -s "$dir/stamps" ] && [ "$(wc -l <"$dir/stamps")" -ge 50 ]
	;;
check)
	awk '$1 != NR { print "FAIL: line " NR " has number " $1; exit 1 }
	     NF != 2 || $2 < last { print "FAIL: line " NR ": " $0; exit 1 }
	     { last = $2 }
	     END { if (NR < 200) { print "FAIL: only " NR " lines"; exit 1 } }' "$dir/stamps"
	;;
esac
