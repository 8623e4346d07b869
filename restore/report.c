/* What the blob could not do, in words: it has only numbers. */
#include <string.h>

#include "log.h"
#include "stage.h"

/* What was tried, and what to try; %s: see advice. Subject: what the number beside the step means. */
static const struct {
	const char *what, *subject, *advice;
} steps[STEP_COUNT] = {
	[STEP_ABI] = { "start: blob and program do not fit", "version", "build again from clean sources" },
	[STEP_UNMAP] = { "unmap the memory of the restorer", "address", NULL },
	[STEP_VDSO] = { "map the vDSO", "address", "the kernel needs CONFIG_CHECKPOINT_RESTORE" },
	[STEP_MAP] = { "map memory", "address", "check vm.overcommit_memory, vm.max_map_count and vm.mmap_min_addr" },
	[STEP_READ] = { "read pages", "address", "the page image may be damaged, or memory is short" },
	[STEP_PROTECT] = { "protect memory", "address", "check vm.max_map_count" },
	[STEP_ADVISE] = { "advise the kernel (madvise)", "address", "the dump may come from a newer kernel" },
	[STEP_ATTACH] = { "attach System V shared memory", "address", "was the segment removed a moment ago?" },
	[STEP_AIO] = { "make an AIO context (io_setup)", "address",
		       "raise fs.aio-max-nr; a machine with more CPUs makes larger rings" },
	[STEP_BUFFERS] = { "register buffers of a ring (io_uring)", "descriptor",
			   "raise RLIMIT_MEMLOCK, or give CAP_IPC_LOCK" },
	[STEP_LOCK] = { "lock memory", "address", "raise RLIMIT_MEMLOCK, or give CAP_IPC_LOCK" },
	[STEP_LAZY] = { "register memory that comes late (userfaultfd)", "address",
			"the kernel needs CONFIG_USERFAULTFD and the caller CAP_SYS_PTRACE; leave out --lazy-pages" },
	[STEP_LOCK_FUTURE] = { "lock memory to come (mlockall)", "flags",
			       "raise RLIMIT_MEMLOCK, or give CAP_IPC_LOCK" },
	[STEP_CLOSE] = { "close temporary descriptors", "descriptor", NULL },
	[STEP_FILE_LOCK] = { "take a file lock again", "descriptor", "somebody else may hold it now" },
	[STEP_MM] = { "set addresses and executable (PR_SET_MM_MAP)", "",
		      "the kernel needs CONFIG_CHECKPOINT_RESTORE, "
		      "the executable must be executable and not on a noexec mount" },
	[STEP_PERSONALITY] = { "set the personality", "personality", NULL },
	[STEP_THP] = { "disable transparent huge pages", "", NULL },
	[STEP_MEMORY_MERGE] = { "let equal pages be merged (PR_SET_MEMORY_MERGE)", "",
				"the dump may come from a newer kernel, or one with CONFIG_KSM" },
	[STEP_TSC] = { "forbid itself the time stamp counter (PR_SET_TSC)", "", NULL },
	[STEP_MEMBARRIER] = { "register for membarrier", "command", "the dump may come from a newer kernel" },
	[STEP_SUBREAPER] = { "become child subreaper", "", NULL },
	[STEP_IO_FLUSHER] = { "become an I/O flusher", "", "give CAP_SYS_RESOURCE" },
	[STEP_MDWE] = { "deny itself memory to write and execute (PR_SET_MDWE)", "bits",
			"the dump may come from a newer kernel" },
	[STEP_SIGACTION] = { "set a signal action", "signal", NULL },
	[STEP_THREAD] = { "make a thread", "tid",
			  "the number may be taken: restore in another pid namespace; "
			  "check kernel.threads-max and pids.max" },
	[STEP_COMM] = { "name a thread", "tid", NULL },
	[STEP_ALTSTACK] = { "set the alternate signal stack", "address",
			    "this CPU may need a larger one (AVX-512, AMX)" },
	[STEP_ROBUST] = { "set the robust list", "address", NULL },
	[STEP_RSEQ] = { "register restartable sequences", "address", "the dump may come from a newer kernel" },
	[STEP_SCHED] = { "set the scheduling policy", "tid", "give CAP_SYS_NICE; real-time groups need a budget" },
	[STEP_DEADLINE] = { "get its share of CPU time (SCHED_DEADLINE)", "tid",
			    "give CAP_SYS_NICE; others may have taken the time, and it must be allowed all CPUs" },
	[STEP_NICE] = { "set the nice value", "tid", "give CAP_SYS_NICE" },
	[STEP_AFFINITY] = { "set the CPU affinity", "tid", NULL },
	[STEP_IO_PRIORITY] = { "set the I/O priority", "tid", "give CAP_SYS_NICE" },
	[STEP_TIMER_SLACK] = { "set the timer slack", "tid", NULL },
	[STEP_RLIMIT] = { "set a resource limit", "limit", "give CAP_SYS_RESOURCE" },
	[STEP_GROUPS] = { "set supplementary groups", "count", "give CAP_SETGID" },
	[STEP_UIDS] = { "set user and group ids", "id", "give CAP_SETUID and CAP_SETGID" },
	[STEP_CAPS] = { "set capabilities", "capability", "give CAP_SETPCAP" },
	[STEP_SECUREBITS] = { "set securebits", "bits", "give CAP_SETPCAP" },
	[STEP_NO_NEW_PRIVS] = { "set no_new_privs", "", NULL },
	[STEP_SECCOMP] = { "go under seccomp", "filter", "the dump may come from a newer kernel" },
	[STEP_DUMPABLE] = { "set dumpable", "value", NULL },
	[STEP_PDEATH] = { "set the parent-death signal", "tid", NULL },
	[STEP_SIGNAL] = { "queue a pending signal", "signal", "raise RLIMIT_SIGPENDING" },
	[STEP_TIMER] = { "set an interval timer", "timer", NULL },
	[STEP_POSIX_TIMER] = { "make a timer (timer_create, timer_settime)", "id",
			       "raise RLIMIT_SIGPENDING; alarms need CAP_WAKE_ALARM and a real-time clock device" },
	[STEP_FAULT] = { "pass a fault point (asked for by CKPT_FAULT)", "number", NULL },
};

void report_blob_failure(const struct restorer_shared *s)
{
	uint32_t step = s->step < STEP_COUNT && steps[s->step].what ? s->step : STEP_FAULT;

	log_err("task %d could not %s (%s 0x%llx): %s%s%s", s->pid, steps[step].what, steps[step].subject,
		(unsigned long long)s->subject, strerror(s->error), steps[step].advice ? "; " : "",
		steps[step].advice ? steps[step].advice : "");
}
