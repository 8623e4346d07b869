#!/bin/bash
# Real program: dbus-daemon with a client that waits for signals, both in the tree; a new client comes afterwards.
dir=$2
case $1 in
run)
	command -v dbus-daemon >/dev/null && command -v dbus-monitor >/dev/null ||
		{ echo "skip: pid 0: no dbus-daemon or dbus-monitor (package dbus)" >&2; exit 77; }
	cd "$dir" || exit 1
	dbus-daemon --session --nofork --nosyslog --address="unix:path=$dir/bus" </dev/null >/dev/null 2>&1 &
	until [ -S bus ]; do sleep 0.01; done
	DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/bus dbus-monitor --profile "interface='org.example.Test'" \
		</dev/null >"$dir/seen" 2>&1 &
	monitor=$!
	until grep -q NameAcquired seen; do sleep 0.01; done
	touch running
	until [ -e check ]; do sleep 0.01; done
	DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/bus dbus-send --type=signal / org.example.Test.Hello string:world
	for _ in $(seq 250); do
		grep -q "org.example.Test.*Hello" seen && break
		sleep 0.02
	done
	kill $monitor %1
	wait
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	grep -q "org.example.Test.*Hello" "$dir/seen"
	;;
esac
