#!/bin/bash
# Real program: script with a shell that counts. Its record has no gap, and it ends as its shell does.
# The runner calls: run DIR (becomes the tree), ready DIR (in the middle of its work?), check DIR (right in the end?).
dir=$2
case $1 in
run)
	command -v script >/dev/null || { echo "skip: pid 0: no script" >&2; exit 77; }
	cat >"$dir/count" <<-'END'
		while [ ! -e "$1/check" ] || [ "${i:-0}" -lt 200 ]; do
			i=$((i + 1))
			echo "$i of many"
			sleep 0.002
		done
		tty
		stty size
		exit 7
	END
	script -qefc "stty rows 33 cols 99; bash $dir/count $dir" "$dir/record" </dev/null >/dev/null
	echo $? >"$dir/status"
	;;
ready)
	[ -s "$dir/record" ] && [ "$(wc -l <"$dir/record")" -ge 50 ]
	;;
check)
	[ "$(cat "$dir/status")" = 7 ] || { echo "FAIL: it ended with $(cat "$dir/status")"; exit 1; }
	tr -d '\r' <"$dir/record" | awk '/ of many$/ { if ($1 != ++n) { print "FAIL: " $0 " is number " n; exit 1 } }
		/^\/dev\/pts/ { tty = 1 } $0 == "33 99" { size = 1 }
		END { if (n < 200 || !tty || !size) { print "FAIL: " n " lines, " tty size; exit 1 } }'
	;;
esac
