/* Pipes in packet mode (O_DIRECT): what was written in one piece is read in one piece. */
#include "e2e.h"

int main(int argc, char **argv)
{
	char buf[64];
	int p[2];

	e2e_begin(argc, argv);
	must(!pipe2(p, O_DIRECT));
	must(write(p[1], "one", 3) == 3 && write(p[1], "three", 5) == 5 && write(p[1], "seven..", 7) == 7);

	e2e_wait();

	same(read(p[0], buf, sizeof(buf)), 3);
	must(!memcmp(buf, "one", 3));
	same(read(p[0], buf, sizeof(buf)), 5);
	must(!memcmp(buf, "three", 5));
	same(read(p[0], buf, 2), 2); /* the rest of the packet is dropped */
	must(!memcmp(buf, "se", 2));
	same(fcntl(p[1], F_GETFL) & O_DIRECT, O_DIRECT);
	must(write(p[1], "ab", 2) == 2 && write(p[1], "c", 1) == 1);
	same(read(p[0], buf, sizeof(buf)), 2);
	same(read(p[0], buf, sizeof(buf)), 1);
	return 0;
}
