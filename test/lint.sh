#!/bin/sh
# make lint: the rules of the house that a machine can check. Says all that is wrong; exit status 1 when anything is.
#   - clang-format with .clang-format
#   - files under 600 lines, functions under 60; a comment "/* long: reason */" above a function excuses it
#   - no room includes what is private to another (the table in the README of the project's design)
#   - every kind in include/*.def has both halves, its schema and its e2e program
#   - every option and action is in the man page
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
problem() {
	echo "lint: $*"
	bad=1
}
# Tracked files, and new ones that are not ignored.
files() {
	git ls-files --cached --others --exclude-standard "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done
}

if command -v clang-format >/dev/null 2>&1; then
	# shellcheck disable=SC2046
	unformatted=$(clang-format --dry-run -Werror $(files '*.c' '*.h') 2>&1 | grep ': error: ' | cut -d: -f1 | sort | uniq -c)
	[ -z "$unformatted" ] || problem "not formatted (make format), with the number of places:
$unformatted"
else
	echo "lint: clang-format is missing: the format is not checked"
fi

for f in $(files '*.c' '*.h' '*.S' '*.sh'); do
	lines=$(wc -l <"$f")
	[ "$lines" -lt 600 ] || problem "$f: $lines lines: files stay under 600"
done

# A function begins with { and ends with } in the first column. Its length counts from the line of the brace.
for f in $(files '*.c' '*.h'); do
	long=$(awk '
		/^{/ { start = FNR; excused = before ~ /\/\* long: ./ }
		/^}/ {
			if (start && FNR - start > 60 && !excused)
				print FILENAME ":" start ": a function of " FNR - start - 1 " lines"
			start = 0
			before = ""
		}
		!start { before = /^$/ ? "" : before $0 "\n" }
	' "$f")
	[ -z "$long" ] || problem "$long: they stay under 60, or say why: /* long: reason */"
done

# The room of a file.
room() {
	case $1 in
	*.def) echo include ;; # tables are for all
	parasite/*_abi.h) echo abi ;;
	ckpt/lib/*) echo lib ;;
	arch/*) echo arch ;;
	*) echo "${1%%/*}" ;;
	esac
}
# May room $1 include from room $2?
may_include() {
	case $1:$2 in
	test:* | *:abi | "$1:$1") return 0 ;;
	parasite:include) return 1 ;;
	*:include | *:arch) return 0 ;;
	ckpt:lib | restore:lib | ckpt:images | restore:images) return 0 ;;
	*) return 1 ;;
	esac
}
mkdir -p build
for f in $(files '*.c' '*.h' '*.S'); do
	from=$(room "$f")
	dir=$(dirname "$f")
	sed -n 's/^#[ \t]*include "\(.*\)"$/\1/p' "$f" | while read -r header; do
		for place in "$dir" include arch/x86_64 parasite; do
			[ -f "$place/$header" ] && break
			place=
		done
		[ -n "$place" ] || continue # generated
		path=$(realpath --relative-to=. "$place/$header")
		may_include "$from" "$(room "$path")" || echo "$f includes $path: private to another room"
		[ "$path" != include/restore.h ] || [ "$from" = restore ] || [ "$f" = ckpt/cmd_restore.c ] || [ "$f" = ckpt/judge.c ] ||
			[ "$f" = ckpt/cmd_verify.c ] ||
			[ "$from" = test ] || echo "$f includes $path: only cmd_restore.c, cmd_verify.c and judge.c may"
	done
done >build/lint.includes
[ ! -s build/lint.includes ] || problem "$(cat build/lint.includes)"

# need_halves PREFIX NAME: the files of a kind or a part
need_halves() {
	for f in "ckpt/$1_$2.c" "restore/$1_$2.c" "test/e2e/$1_$2.c"; do
		[ -f "$f" ] || problem "$1_$2: there is no $f"
	done
}
names() { # names MACRO FILE: the first arguments
	sed -n "s/^$1(\\([a-z0-9_]*\\).*/\\1/p" "$2" 2>/dev/null
}
for name in $(names FD_KIND include/fd_kinds.def); do
	need_halves fd "$name"
	case $name in
	inotify | fanotify) proto=fsnotify ;;
	bpfmap) proto=bpfmap-file ;;
	*) proto=$(echo "$name" | tr _ -) ;;
	esac
	[ -f "images/$proto.proto" ] || [ -f "images/${name}file.proto" ] || problem "fd_$name: there is no images/$name.proto"
done
for name in $(names TASK_PART include/task_parts.def); do # their messages are parts of core.proto
	need_halves part "$name"
done
for name in $(names NS_KIND include/ns_kinds.def); do
	need_halves ns "$name"
done

for name in $(sed -n 's/^OPTION("\([^"]*\)".*/\1/p' ckpt/options_table.def); do
	sed 's/\\-/-/g' ckpt/ckpt.8 | grep -q -- "--$name\([^a-z-]\|$\)" || problem "ckpt/ckpt.8 has no --$name"
done
for name in $(sed -n 's/^ACTION("\([^"]*\)".*/\1/p' ckpt/options_table.def); do
	sed 's/\\-/-/g' ckpt/ckpt.8 | grep -q "^\.B[IR]* *$name\|^\.RB ( $name\|^\.BR $name" ||
		problem "ckpt/ckpt.8 has no action $name"
done
exit $bad
