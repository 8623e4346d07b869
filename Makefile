# ckpt: a checkpointer for Linux on x86_64.
#
#   make            build/bin/ckpt
#   make demo       the tutorial: a loop is dumped and restored
#   make test       all tests                    (SAN=address,undefined: under the sanitizers; FULL=1: heavy sizes)
#   make unit e2e   the parts of it
#   make bench      measurements                 (CRIU=/path/to/criu: the peer beside it; see test/README.md)
#   make fuzz       image readers on hostile bytes (FUZZ_TIME=seconds)
#   make lint format install clean
#
# V=1 shows the commands, WERROR=0 lets warnings pass, COV=1 builds for gcov. Each flavour has its own tree.

empty :=
comma := ,
FLAVOUR := $(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(COV),-cov)
B := build$(if $(FLAVOUR),/flavour$(FLAVOUR))
PREFIX ?= /usr/local
CC := gcc
Q := $(if $(V),,@)

CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers $(if $(filter 0,$(WERROR)),,-Werror)
INC := -Iinclude -Iarch/x86_64 -Iparasite -I$(B)/gen
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(CFLAGS) $(WARN) $(INC) -MMD -MP \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(if $(COV),--coverage)
LDFLAGS += $(if $(SAN),-fsanitize=$(SAN)) $(if $(COV),--coverage)
LIBS := -lprotobuf-c -lxxhash -llz4 -lbpf -lelf -lz -lzstd
# Static where that is possible: it starts in half the time, and each task that a restore forks has less to copy,
# to fault in and to unmap.
STATIC := $(if $(FLAVOUR),,$(shell echo 'int main(){}' | \
	$(CC) -static-pie -x c - -o /dev/null -Wl,--whole-archive $(LIBS) -Wl,--no-whole-archive 2>/dev/null && echo -static-pie))

# What runs inside other processes: no libc, no stack protector, no red zone, no SSE.
BLOB_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Os -g $(WARN) -Iparasite -Iarch/x86_64 -MMD -MP \
	-ffreestanding -fno-stack-protector -mno-red-zone -mgeneral-regs-only -fPIE -fvisibility=hidden \
	-fno-asynchronous-unwind-tables -fno-builtin -fcf-protection=none -fno-jump-tables -fno-tree-loop-distribute-patterns
BLOBS := parasite restorer

PROTOS := $(wildcard images/*.proto)
GEN := $(PROTOS:images/%.proto=$(B)/gen/%.pb-c.c)
SRC := $(wildcard ckpt/*.c ckpt/lib/*.c restore/*.c images/*.c arch/x86_64/*.c)
LIB_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(filter-out ckpt/main.c,$(SRC))) $(GEN:.c=.o) $(B)/obj/blobs.o
UNIT := $(patsubst test/unit/%.c,$(B)/test/unit/%,$(wildcard test/unit/*.c))
E2E := $(patsubst test/e2e/%.c,$(B)/test/e2e/%,$(wildcard test/e2e/*.c)) $(B)/test/bin/e2e_runner $(B)/test/bin/outside

.PHONY: all demo test unit e2e bench lint format fuzz install clean setup need
.DELETE_ON_ERROR:
.SECONDARY:

all: need $(B)/bin/ckpt

# Names the Debian packages that are missing; `make setup` installs them when run as root.
need:
	@sh test/setup.sh check
setup:
	@sh test/setup.sh install

$(B)/bin/ckpt: $(B)/obj/ckpt/main.o $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(STATIC) -o $@ $^ $(LIBS)
	$(Q)ln -sf ckpt $(@D)/criu

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h: images/%.proto $(PROTOS) | need
	@mkdir -p $(@D)
	@echo "  PROTO $<"
	$(Q)protoc-c --proto_path=images --c_out=$(@D) $<

$(B)/gen/image_messages.h: $(PROTOS) | need
	@mkdir -p $(@D)
	$(Q)for p in $(notdir $(PROTOS:.proto=)); do echo "#include \"$$p.pb-c.h\""; done > $@

$(B)/gen/%.o: $(B)/gen/%.c $(GEN)
	@echo "  CC    $<"
	$(Q)$(CC) -std=gnu11 $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -I$(B)/gen -c -o $@ $<

$(B)/obj/%.o: %.c | need $(GEN) $(B)/gen/image_messages.h
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Blobs: position independent, no relocation left (asserted by the linker script), embedded by .incbin.
$(B)/blob/%.o: parasite/%.c
	@mkdir -p $(@D)
	@echo "  BLOB  $<"
	$(Q)$(CC) $(BLOB_CFLAGS) -c -o $@ $<
$(B)/blob/blob_head.o: arch/x86_64/blob_head.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(BLOB_CFLAGS) -c -o $@ $<
$(B)/blob/%.elf: $(B)/blob/%.o $(B)/blob/blob_head.o arch/x86_64/blob.lds
	$(Q)$(CC) -nostdlib -static -Wl,--no-undefined -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-T,arch/x86_64/blob.lds \
		-o $@ $(filter %.o,$^)
$(B)/blob/%.bin: $(B)/blob/%.elf
	$(Q)objcopy -O binary $< $@
$(B)/obj/blobs.o: parasite/blobs.S $(BLOBS:%=$(B)/blob/%.bin)
	@mkdir -p $(@D)
	$(Q)$(CC) -I$(B)/blob -c -o $@ $<

# Tests. -rdynamic: the schema test finds descriptors by their names.
$(B)/test/unit/%: $(B)/obj/test/unit/%.o $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS) $$(pkg-config --libs check)

# The e2e programs are targets, not part of ckpt: plain flags, no sanitizer. So are their runner and the bench.
TARGET_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) -Wno-format-truncation -Iinclude
# Those of 32-bit programs. Without a compiler for these (gcc-multilib) they are built, and skip themselves.
$(B)/test/e2e/compat_%: test/e2e/compat_%.c $(wildcard test/e2e/*.h test/e2e/*.c)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(TARGET_CFLAGS) -m32 -o $@ $< -lpthread 2>/dev/null || $(CC) $(TARGET_CFLAGS) -DNO_COMPAT -o $@ $< -lpthread
$(B)/test/e2e/%: test/e2e/%.c $(wildcard test/e2e/*.h)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(TARGET_CFLAGS) -o $@ $< -lpthread
$(B)/test/e2e/%_static: test/e2e/%_static.c test/e2e/%.c $(wildcard test/e2e/*.h)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(TARGET_CFLAGS) -static -o $@ $<
# Kernel headers come from where gcc has them. Without musl the program says so.
MUSL := $(shell command -v musl-gcc)
$(B)/test/e2e/%_musl: test/e2e/%_musl.c test/e2e/%.c $(wildcard test/e2e/*.h)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(or $(MUSL),$(CC) -DNO_MUSL) $(TARGET_CFLAGS) $(if $(MUSL),-static -idirafter /usr/include \
		-idirafter /usr/include/x86_64-linux-gnu) -o $@ $<
$(B)/test/bin/e2e_runner: $(wildcard test/e2e_runner/*.c test/e2e_runner/*.h test/e2e_runner/*.def include/fault_points.def)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(TARGET_CFLAGS) -o $@ $(filter %.c,$^)

unit: all $(UNIT)
	$(Q)sh test/run_unit.sh $(UNIT)
e2e: all $(E2E)
	$(Q)B=$(B) FULL=$(FULL) sh test/run_e2e.sh
	$(Q)$(B)/test/bin/outside $(B)/bin/ckpt

test: setup
	$(Q)$(MAKE) --no-print-directory all $(UNIT) $(E2E)
	$(Q)B=$(B) FULL=$(FULL) UNIT="$(UNIT)" sh test/run.sh

demo: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bash test/demo.sh $(B)/bin/ckpt

$(B)/test/bin/outside: test/outside/outside.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(TARGET_CFLAGS) -o $@ $< -lutil

BENCH := bench tools special floor
$(B)/test/bin/bench: $(BENCH:%=$(B)/obj/test/bench/%.o) $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/test/bin/bench_target: test/bench/target.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(TARGET_CFLAGS) -o $@ $< -lpthread
bench: all $(B)/test/bin/bench $(B)/test/bin/bench_target
	$(Q)$(B)/test/bin/bench --ckpt $(B)/bin/ckpt $(if $(CRIU),--criu $(CRIU)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(IMAGES),--images $(IMAGES)) $(if $(FLOOR),--floor) --target $(B)/test/bin/bench_target $(ROWS)

lint:
	$(Q)sh test/lint.sh
format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')
fuzz: all
	$(Q)B=$(B) $(MAKE) --no-print-directory -f test/fuzz/fuzz.mk

install: all
	install -D -m 755 $(B)/bin/ckpt $(DESTDIR)$(PREFIX)/sbin/ckpt
	install -D -m 644 ckpt/ckpt.8 $(DESTDIR)$(PREFIX)/share/man/man8/ckpt.8
	install -D -m 644 ckpt/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ckpt

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
