# make fuzz: the readers of all kinds of images on changed bytes, under ASan and UBSan, for FUZZ_TIME seconds.
# With clang by libFuzzer, which keeps what it learns in build/fuzz/corpus; else by the plain driver, built with gcc.
B ?= build
FUZZ_TIME ?= 30
F := $(B)/fuzz
SRC := $(wildcard images/*.c) $(wildcard $(B)/gen/*.pb-c.c) ckpt/lib/log.c ckpt/show_message.c ckpt/show_out.c
FLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -Iinclude -I$(B)/gen -fno-omit-frame-pointer -fno-sanitize-recover=all
HAVE_LIBFUZZER := $(shell echo 'int LLVMFuzzerTestOneInput(void){return 0;}' | \
	clang -x c -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null && echo yes)

.PHONY: run
ifeq ($(HAVE_LIBFUZZER),yes)
run: $(F)/images $(F)/driver
	@mkdir -p $(F)/corpus $(F)/seeds
	@$(F)/driver --seeds $(F)/seeds
	$(F)/images -max_total_time=$(FUZZ_TIME) -max_len=65536 -timeout=10 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=$(F)/ $(F)/corpus $(F)/seeds
else
run: $(F)/driver
	$(F)/driver $(FUZZ_TIME)
endif

$(F)/images: test/fuzz/images.c $(SRC) $(wildcard include/*.h images/*.def ckpt/*.h)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	@clang $(FLAGS) -w -fsanitize=fuzzer,address,undefined -o $@ test/fuzz/images.c $(SRC) -lprotobuf-c

$(F)/driver: test/fuzz/driver.c test/fuzz/images.c test/unit/fill.h $(SRC) $(wildcard include/*.h images/*.def ckpt/*.h)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	@gcc $(FLAGS) -fsanitize=address,undefined -o $@ test/fuzz/driver.c test/fuzz/images.c $(SRC) -lprotobuf-c
