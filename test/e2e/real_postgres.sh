#!/bin/bash
# Real program: a PostgreSQL cluster with a table and idle workers, of another user, without a client. After a restore
# clients reach it under its old name, read and write.
dir=$2
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
as_user() {
	setpriv --reuid postgres --regid postgres --clear-groups --no-new-privs "$@"
}
sql() {
	as_user "$bin/psql" -h "$dir/sock" -U postgres -At -c "$1" 2>/dev/null
}
case $1 in
run)
	[ -x "$bin/postgres" ] || { echo "skip: pid 0: no PostgreSQL (package postgresql)" >&2; exit 77; }
	as_user test -x "$dir" || { echo "skip: pid 0: its user cannot reach $dir" >&2; exit 77; }
	mkdir "$dir/data" "$dir/sock" && chown postgres "$dir/data" "$dir/sock"
	cd /tmp || exit 1
	as_user "$bin/initdb" -N -A trust -D "$dir/data" >/dev/null 2>&1 || exit 1
	as_user "$bin/postgres" -D "$dir/data" -k "$dir/sock" -c listen_addresses= -c fsync=off \
		</dev/null >/dev/null 2>&1 &
	until [ "$(sql "select 1")" = 1 ]; do sleep 0.05; done
	sql 'create table t as select generate_series(1, 1000) as x' >/dev/null
	sleep 0.2 # the process that served this client ends
	touch "$dir/running"
	until [ -e "$dir/check" ]; do sleep 0.01; done
	{
		sql 'select count(*), sum(x) from t'
		sql 'insert into t values (5)'
		sql 'select count(*) from t'
	} >"$dir/result"
	kill -INT "$(head -1 "$dir/data/postmaster.pid")"
	wait
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	[ "$(tr '\n' ' ' <"$dir/result")" = "1000|500500 INSERT 0 1 1001 " ]
	;;
esac
