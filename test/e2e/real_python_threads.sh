#!/bin/bash
# Real program: python3 with threads that compute, sleep, and talk through a queue and a pipe.
dir=$2
python=/usr/bin/python3
case $1 in
run)
	[ -x $python ] || { echo "skip: pid 0: no $python" >&2; exit 77; }
	cat >"$dir/work.py" <<'PYTHON'
import hashlib, os, queue, sys, threading, time

directory = sys.argv[1]
checking = lambda: os.path.exists(directory + "/check")
jobs, results = queue.Queue(maxsize=10), queue.Queue()
reader, writer = os.pipe()

def compute():
    while (job := jobs.get()) is not None:
        digest = str(job).encode()
        for _ in range(200):
            digest = hashlib.sha256(digest).digest()
        results.put((job, digest.hex()))

def listen():
    global heard
    while data := os.read(reader, 4096):
        heard += len(data)

heard = 0
workers = [threading.Thread(target=compute) for _ in range(4)]
listener = threading.Thread(target=listen)
for thread in workers + [listener]:
    thread.start()
n = 0
while n < 500 or not checking():
    jobs.put(n)
    os.write(writer, b"x")
    n += 1
    if n == 200:
        open(directory + "/ready", "w").close()
    time.sleep(0.001)
for _ in workers:
    jobs.put(None)
for thread in workers:
    thread.join()
os.close(writer)
listener.join()
got = dict(results.get() for _ in range(results.qsize()))
assert sorted(got) == list(range(n)), "results are lost"
assert heard == n, "bytes are lost"
for job in range(0, n, 37):
    digest = str(job).encode()
    for _ in range(200):
        digest = hashlib.sha256(digest).digest()
    assert got[job] == digest.hex(), f"job {job} has another result"
open(directory + "/done", "w").close()
PYTHON
	exec $python "$dir/work.py" "$dir"
	;;
ready)
	[ -e "$dir/ready" ]
	;;
check)
	[ -e "$dir/done" ] || { echo "FAIL: it did not come to its end" >&2; exit 1; }
	;;
esac
