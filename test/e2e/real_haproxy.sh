#!/bin/bash
# Real program: haproxy with threads and a stats socket, which it binds under a temporary name and then renames. Clients
# reach it under its name before and after; so does the one that supervises it.
dir=$2
ask() {
	python3 - "$dir/stats" "$1" <<'P'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
data = b""
while True:
    more = s.recv(65536)
    if not more:
        break
    data += more
print(data.decode())
P
}
case $1 in
run)
	command -v haproxy >/dev/null || { echo "skip: pid 0: no haproxy" >&2; exit 77; }
	command -v python3 >/dev/null || { echo "skip: pid 0: no python3" >&2; exit 77; }
	cat >"$dir/haproxy.cfg" <<C
global
	stats socket $dir/stats mode 600 level admin
	nbthread 2
defaults
	timeout client 10s
	timeout connect 10s
	timeout server 10s
frontend f
	bind unix@$dir/front
	mode http
	http-request return status 200 content-type text/plain string hello
C
	haproxy -db -f "$dir/haproxy.cfg" </dev/null >/dev/null 2>&1 &
	until ask 'show info' | grep -q '^Name: HAProxy'; do sleep 0.05; done 2>/dev/null
	sleep 0.1
	touch "$dir/running"
	until [ -e "$dir/check" ]; do sleep 0.01; done
	ask 'show info' >"$dir/info"
	curl -s --unix-socket "$dir/front" http://localhost/ >"$dir/page"
	kill %1
	wait
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	grep -q '^Name: HAProxy' "$dir/info" && { ! command -v curl >/dev/null || [ "$(cat "$dir/page")" = hello ]; }
	;;
esac
