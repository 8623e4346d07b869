#!/bin/bash
# Real program: make -j4 with gcc, dumped and restored five times in the middle of the build; the result is that of an
# unbroken build.
dir=$2
count=12
[ "${FULL:-0}" != 0 ] && count=40
sources() {
	mkdir -p "$1"
	for i in $(seq $count); do
		cat >"$1/part$i.c" <<C
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
struct s$i { int a[$i]; char name[64]; };
$(for f in $(seq 60); do
			echo "static int f${i}_$f(int x, struct s$i *s) { for (int i = 0; i < x % 17; i++) s->a[i % $i] += x * $f + i; return s->a[x % $i] ^ (x << ($f % 7)); }"
		done)
int part$i(int x)
{
	struct s$i s;
	memset(&s, 0, sizeof(s));
$(for f in $(seq 60); do echo "	x = f${i}_$f(x & 0xffff, &s);"; done)
	return x;
}
C
	done
	{
		for i in $(seq $count); do echo "int part$i(int x);"; done
		echo '#include <stdio.h>'
		echo 'int main(void) { unsigned int x = 1;'
		for i in $(seq $count); do echo "x = x * 31 + part$i(x & 0xffff);"; done
		echo 'printf("%u\n", x); return 0; }'
	} >"$1/main.c"
	cat >"$1/Makefile" <<M
OBJ := main.o $(for i in $(seq $count); do printf 'part%s.o ' "$i"; done)
program: \$(OBJ)
	gcc -o \$@ \$^
%.o: %.c
	gcc -O2 -c -o \$@ \$<
M
}
case $1 in
run)
	command -v gcc >/dev/null || { echo "skip: pid 0: no gcc" >&2; exit 77; }
	sources "$dir/broken"
	cd "$dir/broken" || exit 1
	exec make -j4 >make.out 2>&1
	;;
ready)
	ls "$dir"/broken/*.o >/dev/null 2>&1
	;;
check)
	for _ in $(seq 1500); do
		[ -x "$dir/broken/program" ] && break
		sleep 0.02
	done
	sources "$dir/unbroken"
	make -C "$dir/unbroken" -j4 >/dev/null 2>&1 && cmp "$dir/unbroken/program" "$dir/broken/program" &&
		[ "$("$dir/broken/program")" = "$("$dir/unbroken/program")" ]
	;;
esac
