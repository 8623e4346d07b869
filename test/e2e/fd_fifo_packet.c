/* A FIFO in packet mode: what was written is read packet by packet. */
#include "e2e.h"

int main(int argc, char **argv)
{
	char buf[64];

	e2e_begin(argc, argv);
	must(!mkfifo(e2e_path("fifo"), 0600));
	int reader = open(e2e_path("fifo"), O_RDONLY | O_NONBLOCK), writer = open(e2e_path("fifo"), O_WRONLY);
	must(reader >= 0 && writer >= 0 && !fcntl(writer, F_SETFL, O_DIRECT));
	must(write(writer, "one", 3) == 3 && write(writer, "four", 4) == 4);

	e2e_wait();

	same(fcntl(writer, F_GETFL) & O_DIRECT, O_DIRECT);
	same(read(reader, buf, sizeof(buf)), 3);
	same(read(reader, buf, sizeof(buf)), 4);
	must(read(reader, buf, sizeof(buf)) == -1 && errno == EAGAIN);
	return 0;
}
