# bash completion for ckpt (and for criu, when it is ckpt). The options come from `ckpt --help`, so they are those
# of the program that is called.

# Processes, with their commands for those who look at the list.
_ckpt_pids()
{
	local proc pid
	for proc in /proc/[0-9]*; do
		pid=${proc#/proc/}
		[[ $pid == "$1"* ]] && printf '%s\n' "$pid"
	done
}

_ckpt()
{
	local cur prev words cword action="" i
	if declare -F _init_completion >/dev/null; then
		_init_completion -s || return
	else # without the package bash-completion
		cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	fi
	COMPREPLY=()
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		dump | restore | explain | show | verify | check | dedup | page-server | lazy-pages) action=${words[i]} && break ;;
		esac
	done

	case $prev in
	-t | --tree)
		mapfile -t COMPREPLY < <(_ckpt_pids "$cur")
		return
		;;
	-D | --images-dir | -W | --work-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	-o | --log-file | --pidfile | --config | --stats-json)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	--feature)
		mapfile -t COMPREPLY < <(compgen -W "$("${words[0]}" check --no-default-config --feature list 2>/dev/null)" -- "$cur")
		return
		;;
	--pre-dump-mode)
		mapfile -t COMPREPLY < <(compgen -W "splice read" -- "$cur")
		return
		;;
	--network-lock)
		mapfile -t COMPREPLY < <(compgen -W "iptables nftables skip" -- "$cur")
		return
		;;
	--compress)
		mapfile -t COMPREPLY < <(compgen -W "lz4 zstd" -- "$cur")
		return
		;;
	--bpf)
		mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur")
		return
		;;
	--file-validation)
		mapfile -t COMPREPLY < <(compgen -W "filesize buildid" -- "$cur")
		return
		;;
	--timeout | --status-fd | --close)
		return
		;;
	esac

	if [[ $cur == -* ]]; then
		# lines of --help like "  -j, --[no-]shell-job   ..." and the list of those without effect
		local options
		options=$("${words[0]}" --help 2>/dev/null | sed -n '/not supported yet/q
			s/^  \(-.,\|   \) --\(\[no-\]\)\{0,1\}\([a-z-]*\).*/--\3 \2\3/p
			s/^   \(--.*\)/\1/p' | sed 's/ \[no-\]\(.*\)/ --no-\1/; s/\(--[a-z-]*\) [a-z][a-z-]*$/\1/')
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case $action in
	"")
		mapfile -t COMPREPLY < <(compgen -W "dump restore explain show verify check cpuinfo dedup page-server lazy-pages" -- "$cur")
		;;
	explain)
		mapfile -t COMPREPLY < <(_ckpt_pids "$cur")
		;;
	show | verify)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		;;
	esac
}

complete -F _ckpt ckpt
