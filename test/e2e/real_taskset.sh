#!/bin/bash
# Real program: a loop started by taskset, ionice and nice, which asks the tools again in the end.
dir=$2
cpu=$(taskset -cp $$ | sed 's/.*[^0-9]//') # the last that we may use
case $1 in
run)
	command -v taskset >/dev/null && command -v ionice >/dev/null || { echo "skip: pid 0: no taskset or ionice" >&2; exit 77; }
	# shellcheck disable=SC2016
	exec taskset -c "$cpu" ionice -c 3 nice -n 5 sh -c '
		cd "$1" || exit 1
		while [ ! -e check ]; do
			echo >f
			sleep 0.01
		done
		{ taskset -cp $$ | sed "s/.* //"; ionice -p $$; nice; } >result' sh "$dir"
	;;
ready)
	[ -e "$dir/f" ]
	;;
check)
	printf '%s\nidle\n5\n' "$cpu" | diff - "$dir/result"
	;;
esac
