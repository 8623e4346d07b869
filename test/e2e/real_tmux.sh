#!/bin/bash
# Real program: tmux with a shell that has a variable, a vim with unsaved text and a top. After the restore a client can
# attach, sees the text, and all three do what they are told.
# The runner calls: run DIR (becomes the tree), ready DIR (in the middle of its work?), check DIR (right in the end?).
dir=$2
export TERM=xterm LC_ALL=C
unset TMUX VIMINIT
tm() { tmux -S "$dir/socket" "$@"; }
pane() { tm capture-pane -p -t "$1" 2>/dev/null; }
# until COMMAND...: for 10 s at most
until_so() {
	for _ in $(seq 200); do
		"$@" && return 0
		sleep 0.05
	done
	echo "FAIL: not so: $*"
	return 1
}
shows() { pane "$1" | grep -q -- "$2"; }
has_client() { [ "$(tm list-clients | wc -l)" = 1 ]; }
holds() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
verify() {
	shows vim 'text that nobody saved' || { echo "FAIL: vim's screen is $(pane vim)"; return 1; }
	mkfifo "$dir/keyboard"
	exec 9<>"$dir/keyboard"
	script -qfc "tmux -S $dir/socket attach -t work:vim" "$dir/attached" <&9 >/dev/null &
	until_so has_client || return 1
	until_so grep -q 'text that nobody saved' "$dir/attached" || return 1
	tm detach-client -s work
	wait $!
	tm send-keys -t vim Escape ':wq' Enter
	until_so holds "$dir/saved" 'text that nobody saved' || return 1
	tm send-keys -t shell "echo \$((X + 1)) >$dir/sum" Enter
	until_so holds "$dir/sum" 42 || return 1
	tm send-keys -t tasks q
	until_so shows tasks 'top has ended 0'
}
case $1 in
run)
	for tool in tmux vim top script; do
		command -v $tool >/dev/null || { echo "skip: pid 0: no $tool" >&2; exit 77; }
	done
	tmux -S "$dir/socket" -f /dev/null -D </dev/null >/dev/null 2>&1 &
	server=$!
	sleep 0.3
	until_so tm -N new-session -d -s work -n shell -x 100 -y 30 "bash --norc --noprofile" || exit 1
	tm set-option -g remain-on-exit on
	tm new-window -d -n vim "vim -u NONE -n $dir/saved"
	tm new-window -d -n tasks "top -d 0.1; echo top has ended \$?; sleep 100"
	tm send-keys -t shell 'X=41; echo X is $X' Enter
	tm send-keys -t vim i 'text that nobody saved'
	until_so shows shell 'X is 41' && until_so shows vim 'nobody saved' && until_so shows tasks 'load average' || exit 1
	touch "$dir/ready"
	while [ ! -e "$dir/check" ]; do sleep 0.05; done
	verify && touch "$dir/good"
	tm kill-server
	wait $server
	;;
ready)
	[ -e "$dir/ready" ]
	;;
check)
	[ -e "$dir/good" ]
	;;
esac
