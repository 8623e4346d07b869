/*
 * Makes the first inputs (an image of every kind with all fields set), and stands in for libFuzzer where clang is
 * missing: changes them at random for some time.
 *
 *   driver --seeds DIR        writes them
 *   driver SECONDS [SEED]     changes and reads them; a crash tells the seed, which gives the same run again
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 65536

struct input {
	uint8_t bytes[INPUT_MAX];
	size_t len;
};

static void make_seed(struct input *input, enum image_kind kind)
{
	size_t head = kind == IMG_INVENTORY ? 4 : 8;
	struct image_writer w;

	fill_image(&w, kind);
	input->bytes[0] = kind;
	input->len = w.len - head + 1;
	if (input->len > INPUT_MAX)
		input->len = INPUT_MAX;
	memcpy(input->bytes + 1, w.buf + head, input->len - 1);
	free(w.buf);
}

/* Changes, removes, inserts or repeats some bytes. */
static void mutate(struct input *input, unsigned int *seed)
{
	for (int n = 1 + rand_r(seed) % 8; n && input->len > 1; n--) {
		size_t at = 1 + rand_r(seed) % (input->len - 1), len = 1 + rand_r(seed) % 16;

		if (len > input->len - at)
			len = input->len - at;
		switch (rand_r(seed) % 5) {
		case 0:
			input->bytes[at] ^= 1 << rand_r(seed) % 8;
			break;
		case 1:
			input->bytes[at] = rand_r(seed) % 2 ? 0xff : rand_r(seed);
			break;
		case 2:
			memmove(input->bytes + at, input->bytes + at + len, input->len - at - len);
			input->len -= len;
			break;
		case 3:
			if (input->len + len > INPUT_MAX)
				break;
			memmove(input->bytes + at + len, input->bytes + at, input->len - at);
			input->len += len;
			break;
		default:
			input->len = at + 1;
		}
	}
}

static int write_seeds(const char *dir)
{
	static struct input input;

	for (enum image_kind kind = 0; kind < IMG_KINDS; kind++) {
		char path[4096];

		if (image_info[kind].shape == IMAGE_RAW)
			continue;
		make_seed(&input, kind);
		snprintf(path, sizeof(path), "%s/%s", dir, image_info[kind].kind);
		FILE *f = fopen(path, "we");
		if (!f || fwrite(input.bytes, 1, input.len, f) != input.len || fclose(f))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct input input;
	unsigned long runs = 0;

	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		return write_seeds(argv[2]);
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : (unsigned int)time(NULL);
	printf("fuzzing images, seed %u\n", seed);
	fflush(stdout);
	while (time(NULL) < end) {
		for (enum image_kind kind = 0; kind < IMG_KINDS; kind++, runs++) {
			if (image_info[kind].shape == IMAGE_RAW)
				continue;
			make_seed(&input, kind);
			mutate(&input, &seed);
			LLVMFuzzerTestOneInput(input.bytes, input.len);
		}
	}
	printf("%lu runs, nothing found\n", runs);
	return 0;
}
