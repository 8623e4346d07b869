#!/bin/bash
# Real program: sqlite3 in the middle of a transaction, with its journal and its locks; it commits after the restore.
dir=$2
case $1 in
run)
	command -v sqlite3 >/dev/null || { echo "skip: pid 0: no sqlite3" >&2; exit 77; }
	cd "$dir" || exit 1
	sqlite3 base 'create table t (x); insert into t values (1);' || exit 1
	# One process feeds the other, and waits for the check in between.
	{
		echo 'begin; insert into t select value from generate_series(2, 500); select count(*) from t;'
		touch "$dir/begun"
		until [ -e check ]; do sleep 0.01; done
		echo 'insert into t values (501); commit; select count(*), sum(x) from t;'
	} | sqlite3 base >"$dir/result"
	;;
ready)
	[ -e "$dir/begun" ] && [ -s "$dir/base-journal" ]
	;;
check)
	for _ in $(seq 500); do
		grep -q '|' "$dir/result" && break
		sleep 0.02
	done
	[ "$(tail -1 "$dir/result")" = "501|125751" ] && [ "$(sqlite3 "$dir/base" 'pragma integrity_check')" = ok ]
	;;
esac
