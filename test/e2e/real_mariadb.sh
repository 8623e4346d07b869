#!/bin/bash
# Real program: MariaDB as Debian ships it, which reads and writes by io_uring, with a table, without a client. After a
# restore clients reach it under its old name, read and write. TCP is left out.
dir=$2
as_user() {
	setpriv --reuid mysql --regid mysql --clear-groups --no-new-privs "$@"
}
sql() {
	mariadb --no-defaults -S "$dir/data/sock" -u mysql -N -B d -e "$1" 2>/dev/null
}
case $1 in
run)
	command -v mariadbd >/dev/null || { echo "skip: pid 0: no MariaDB (package mariadb-server)" >&2; exit 77; }
	as_user test -x "$dir" || { echo "skip: pid 0: its user cannot reach $dir" >&2; exit 77; }
	mkdir "$dir/data" && chown mysql "$dir/data" && cd /tmp || exit 1
	as_user mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal \
		--skip-test-db --skip-log-bin >"$dir/install" 2>&1 || { cat "$dir/install" >&2; exit 1; }
	as_user mariadbd --no-defaults --datadir="$dir/data" --skip-networking --socket="$dir/data/sock" --pid-file="$dir/data/pid" \
		--innodb-use-native-aio=1 --innodb-flush-log-at-trx-commit=0 --skip-grant-tables \
		</dev/null >"$dir/log" 2>&1 &
	server=$!
	until [ -S "$dir/data/sock" ]; do sleep 0.05; done
	grep -q 'Using io_uring' "$dir/log" || { echo "skip: pid 0: MariaDB without io_uring" >&2; exit 77; }
	mkdir "$dir/data/d" && chown mysql "$dir/data/d" # the database
	sql 'create table d.t (x int primary key, y text) engine=innodb;
		insert into d.t select seq, repeat("y", 500) from seq_1_to_1000; flush tables'
	touch "$dir/running"
	until [ -e "$dir/check" ]; do sleep 0.01; done
	{
		sql 'select count(*), sum(x) from d.t'
		sql 'insert into d.t select seq, repeat("z", 500) from seq_1001_to_20000'
		sql 'flush tables d.t for export; unlock tables; select count(*), sum(x), sum(length(y)) from d.t'
		sql 'check table d.t'
	} >"$dir/result"
	kill -TERM "$(cat "$dir/data/pid")"
	wait $server
	echo "$?" >>"$dir/result"
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	[ "$(tr '\n\t' '  ' <"$dir/result")" = "1000 500500 20000 200010000 10000000 d.t check status OK 0 " ]
	;;
esac
