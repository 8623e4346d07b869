#!/bin/bash
# Real program: yes | head | gzip | cat > file, compared byte by byte with the unbroken run. 500 MB with FULL=1, else 200.
dir=$2
size=200M
[ "${FULL:-0}" != 0 ] && size=500M
case $1 in
run)
	command -v gzip >/dev/null || { echo "skip: pid 0: no gzip" >&2; exit 77; }
	yes | head -c $size | gzip -n | cat >"$dir/f"
	;;
ready)
	[ -e "$dir/f" ] && sleep 0.2 # gzip writes late
	;;
check)
	yes | head -c $size | gzip -n | cmp - "$dir/f"
	;;
esac
