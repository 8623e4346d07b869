#!/bin/bash
# The tutorial: a loop writes the time into a file; it is dumped, is gone, is restored, and goes on.
#   test/demo.sh PATH/TO/ckpt
# Runs anywhere, needs root, leaves nothing behind.
set -eu -o pipefail
ckpt=$(realpath "${1:?usage: test/demo.sh PATH/TO/ckpt}")
work=$(mktemp -d)
pid=

bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '    \033[32m$ %s\033[0m\n' "$*"; }
# Shows a command as somebody would type it (with "ckpt" for the program), then runs it.
run() {
	show "${*//$ckpt/ckpt}"
	"$@" 2>&1 | sed 's/^/    /'
}
# The loop and the `sleep` or `date` that it is waiting for.
end_loop() {
	[ -n "$pid" ] || return 0
	children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
	# shellcheck disable=SC2086
	kill -9 "$pid" $children 2>/dev/null || true
	pid=
}
cleanup() {
	end_loop
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

if [ "$(id -u)" != 0 ]; then
	echo "the demo needs root: ckpt looks into another process and gives a new one the same pid" >&2
	exit 1
fi
cd "$work"
mkdir images

bold "1. A loop that writes the time into a file, a thousand times a second; in a session of its own, without a terminal."
cat >loop.sh <<'LOOP'
echo $$ >pid
while true; do date +%s.%N; sleep 0.001; done
LOOP
show "setsid bash -c 'while true; do date +%s.%N; sleep 0.001; done' </dev/null >stamps 2>&1 &"
setsid bash loop.sh </dev/null >stamps 2>&1 &
disown
for _ in $(seq 200); do
	[ -s pid ] && [ "$(wc -l <stamps)" -gt 100 ] && break
	sleep 0.05
done
pid=$(cat pid)
run tail -n 3 stamps

bold "2. Dump process $pid with its children into image files. It is killed when they are complete."
run "$ckpt" dump --tree "$pid" --images-dir images
before=$(wc -l <stamps)
run ls images

bold "3. It is gone, and the file does not grow."
show "ls -d /proc/$pid"
for _ in $(seq 100); do
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.05
done
if kill -0 "$pid" 2>/dev/null; then
	echo "    process $pid is still there: the dump did not do what it should" >&2
	exit 1
fi
ls -d "/proc/$pid" 2>&1 | sed 's/^/    /' || true
sleep 0.5
run wc -l stamps
[ "$(wc -l <stamps)" = "$before" ]

bold "4. Restore it from the images: the same pid, the same memory, the file open at the same place."
run "$ckpt" restore --images-dir images --restore-detached
run grep -E "^(Name|State|Pid):" "/proc/$pid/status"

bold "5. It goes on: the last stamp before the dump, and the first after the restore, are neighbours in the file."
for _ in $(seq 200); do
	[ "$(wc -l <stamps)" -gt $((before + 100)) ] && break
	sleep 0.05
done
after=$(wc -l <stamps)
if [ "$after" -le "$before" ]; then
	echo "    no new stamps: the restored loop does not run" >&2
	exit 1
fi
run sed -n "$((before - 1)),$((before + 2))p" stamps
echo "    $before lines before the dump, $after now"

bold "6. That is all. The loop is killed, its files are removed."
show "kill $pid"
