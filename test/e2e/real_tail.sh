#!/bin/bash
# Real program: tail -F of a log that goes on, is then renamed and made anew, as when logs are rotated.
dir=$2
# until_so COMMAND...: for 10 s at most
until_so() {
	for _ in $(seq 500); do
		"$@" && return 0
		sleep 0.02
	done
	echo "FAIL: not so: $*"
	return 1
}
seen() { grep -qx "$1" "$dir/seen"; }
verify() {
	echo 'after the restore' >>log
	until_so seen 'after the restore' || return 1
	mv log log.1
	echo 'in a new file' >log
	until_so seen 'in a new file' || return 1
	echo 'and on' >>log
	until_so seen 'and on'
}
case $1 in
run)
	cd "$dir" || exit 1
	echo 'before the dump' >log
	tail -n +1 -F log </dev/null >seen 2>messages &
	until_so seen 'before the dump' || exit 1
	touch running
	until [ -e check ]; do sleep 0.01; done
	verify && touch good
	kill $!
	wait
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	[ -e "$dir/good" ] && [ "$(wc -l <"$dir/seen")" = 4 ]
	;;
esac
