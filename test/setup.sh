#!/bin/sh
# Finds out which Debian packages are missing; `install` installs them when run as root, else names them.
set -u
missing=
need() { # need PACKAGE TEST...
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
need gcc command -v gcc
need make command -v make
need libc6-dev test -e /usr/include/stdlib.h
need binutils command -v objcopy
need pkg-config command -v pkg-config
need protobuf-c-compiler command -v protoc-c
need libprotobuf-c-dev test -e /usr/include/protobuf-c/protobuf-c.h
need libxxhash-dev test -e /usr/include/xxhash.h
need liblz4-dev test -e /usr/include/lz4frame.h
need libzstd-dev test -e /usr/include/zstd.h
need libbpf-dev test -e /usr/include/bpf/btf.h
if [ "$1" = install ]; then
	need check test -e /usr/include/check.h
	need clang-format command -v clang-format
	need python3 test -x /usr/bin/python3
	need xz-utils command -v xz
	need musl-tools command -v musl-gcc
fi
# Tests of 32-bit programs do without, and say so: not every machine can have it.
multilib() {
	[ "$1" = install ] || return
	echo 'int main(void){return 0;}' | gcc -m32 -x c - -o /dev/null 2>/dev/null && return
	[ "$(id -u)" = 0 ] && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
		gcc-multilib libc6-dev-i386 >/dev/null 2>&1 || echo "no gcc-multilib: tests of 32-bit programs are skipped"
}
[ -z "$missing" ] && { multilib "$1"; exit 0; }
if [ "$1" = install ] && [ "$(id -u)" = 0 ]; then
	echo "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	apt-get install -qy --no-install-recommends $missing >/dev/null 2>&1 ||
		{ apt-get update -q >/dev/null && apt-get install -qy --no-install-recommends $missing >/dev/null; } &&
		{ multilib "$1"; exit 0; }
fi
echo "missing Debian packages:$missing" >&2
echo "install them with: apt-get install$missing" >&2
exit 1
