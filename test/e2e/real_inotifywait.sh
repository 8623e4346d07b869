#!/bin/bash
# Real program: inotifywait -m of a directory tree; it tells what happens after the restore.
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
told() { grep -qxF "$1" "$dir/told"; }
verify() {
	touch tree/after
	until_so told 'tree/ CREATE after' || return 1
	echo x >tree/below/file
	until_so told 'tree/below/ MODIFY file' || return 1
	mkdir tree/below/new
	until_so told 'tree/below/ CREATE,ISDIR new' || return 1
	rm tree/after
	until_so told 'tree/ DELETE after'
}
case $1 in
run)
	command -v inotifywait >/dev/null || { echo "skip: pid 0: no inotifywait (package inotify-tools)" >&2; exit 77; }
	cd "$dir" || exit 1
	mkdir -p tree/below
	touch tree/below/file
	inotifywait -m -r -e create,modify,delete --format '%w %e %f' tree </dev/null >told 2>messages &
	until_so grep -q 'Watches established' messages || exit 1
	touch tree/before
	until_so told 'tree/ CREATE before' || exit 1
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
	[ -e "$dir/good" ]
	;;
esac
