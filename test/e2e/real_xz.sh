#!/bin/bash
# Real program: xz with two threads, the same result as the unbroken run. 200 MB with FULL=1, else 12.
dir=$2
size=12000000
[ "${FULL:-0}" != 0 ] && size=200000000
# Text that can be compressed, but not too well; the same each time.
data() {
	awk -v size=$size 'BEGIN { x = 1; while (n < size) { x = (x * 16807) % 2147483647; line = x " line of text " int(x / 7919); print line; n += length(line) + 1 } }'
}
case $1 in
run)
	command -v xz >/dev/null || { echo "skip: pid 0: no xz" >&2; exit 77; }
	data >"$dir/data"
	xz -1 -T2 --block-size=2000000 -k -c "$dir/data" >"$dir/unbroken.xz"
	exec xz -1 -T2 --block-size=2000000 -k -c "$dir/data" >"$dir/f.xz"
	;;
ready)
	[ -s "$dir/f.xz" ]
	;;
check)
	cmp "$dir/unbroken.xz" "$dir/f.xz" && xz -dc "$dir/f.xz" | cmp - "$dir/data"
	;;
esac
