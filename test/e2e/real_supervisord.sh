#!/bin/bash
# Real program: supervisord with two children and its UNIX socket, which it binds under another name and renames. After
# the restore supervisorctl reaches it, it restarts a child that is killed, and ends all.
dir=$2
# until_so COMMAND...: for 20 s at most
until_so() {
	for _ in $(seq 400); do
		"$@" && return 0
		sleep 0.05
	done
	echo "FAIL: not so: $*"
	return 1
}
ctl() { supervisorctl -c "$dir/conf" "$@" 2>&1; }
run_both() { [ "$(ctl status | grep -c RUNNING)" = 2 ]; }
counts() { [ "$(cat "$dir/$1" 2>/dev/null || echo 0)" -gt "$2" ]; }
number() { ctl pid "$1"; }
restarted() { run_both && [ "$(number first)" != "$1" ]; }
verify() {
	run_both || { echo "FAIL: status: $(ctl status)"; return 1; }
	until_so counts first "$(cat first)" || return 1
	until_so counts second "$(cat second)" || return 1
	old=$(number first)
	kill -9 "$old"
	until_so restarted "$old" || return 1
	ctl stop second | grep -q 'second: stopped' || return 1
	ctl shutdown | grep -q 'Shut down'
}
case $1 in
run)
	command -v supervisord >/dev/null || { echo "skip: pid 0: no supervisord (package supervisor)" >&2; exit 77; }
	cd "$dir" || exit 1
	cat >conf <<-END
		[unix_http_server]
		file=$dir/sock
		[rpcinterface:supervisor]
		supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
		[supervisord]
		nodaemon=true
		logfile=$dir/log
		pidfile=$dir/pid
		childlogdir=$dir
		[supervisorctl]
		serverurl=unix://$dir/sock
		[program:first]
		command=/bin/sh -c 'i=0; while :; do i=\$((i + 1)); echo \$i >$dir/first.new; mv $dir/first.new $dir/first; sleep 0.05; done'
		startsecs=0
		[program:second]
		command=/bin/sh -c 'i=0; while :; do i=\$((i + 1)); echo \$i >$dir/second.new; mv $dir/second.new $dir/second; sleep 0.05; done'
		startsecs=0
	END
	sed -i 's/\$((/$((/' conf
	supervisord -c "$dir/conf" </dev/null >out 2>&1 &
	server=$!
	until_so run_both && until_so counts first 2 && until_so counts second 2 || { cat out; exit 1; }
	touch running
	until [ -e check ]; do sleep 0.05; done
	verify && touch good
	wait $server
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	[ -e "$dir/good" ]
	;;
esac
