/*
 * Runs a seccomp filter on a call that nobody made. The kernel lets no filter in that jumps backwards or outside of
 * itself, but a filter read from a task is checked here all the same.
 * Does not handle: a return of the accumulator as a notification, which no compiler of filters makes.
 */
#include "seccomp_filter.h"

#include <string.h>

#define SCRATCH BPF_MEMWORDS

struct machine {
	uint32_t a, x, memory[SCRATCH];
	const struct seccomp_data *call;
	bool broken;
};

static uint32_t *scratch(struct machine *m, uint32_t k)
{
	m->broken |= k >= SCRATCH;
	return &m->memory[k % SCRATCH];
}

static uint32_t load(struct machine *m, const struct sock_filter *f)
{
	uint32_t word = 0;

	switch (BPF_MODE(f->code)) {
	case BPF_IMM:
		return f->k;
	case BPF_LEN:
		return sizeof(*m->call);
	case BPF_MEM:
		return *scratch(m, f->k);
	case BPF_ABS:
		if (f->k > sizeof(*m->call) - sizeof(word) || f->k % sizeof(word))
			break;
		memcpy(&word, (const char *)m->call + f->k, sizeof(word));
		return word;
	}
	m->broken = true;
	return 0;
}

static uint32_t calculate(struct machine *m, const struct sock_filter *f)
{
	uint32_t a = m->a, b = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
	case BPF_MOD:
		m->broken |= !b;
		b = b ?: 1;
		return BPF_OP(f->code) == BPF_DIV ? a / b : a % b;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return b < 32 ? a << b : 0;
	case BPF_RSH:
		return b < 32 ? a >> b : 0;
	case BPF_NEG:
		return -a;
	}
	m->broken = true;
	return 0;
}

/* How many instructions are skipped. */
static uint32_t jump(struct machine *m, const struct sock_filter *f)
{
	uint32_t b = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	bool yes = false;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		yes = m->a == b;
		break;
	case BPF_JGT:
		yes = m->a > b;
		break;
	case BPF_JGE:
		yes = m->a >= b;
		break;
	case BPF_JSET:
		yes = m->a & b;
		break;
	default:
		m->broken = true;
	}
	return yes ? f->jt : f->jf;
}

static void step(struct machine *m, const struct sock_filter *f)
{
	switch (BPF_CLASS(f->code)) {
	case BPF_LD:
		m->a = load(m, f);
		break;
	case BPF_LDX:
		m->x = load(m, f);
		break;
	case BPF_ST:
		*scratch(m, f->k) = m->a;
		break;
	case BPF_STX:
		*scratch(m, f->k) = m->x;
		break;
	case BPF_ALU:
		m->a = calculate(m, f);
		break;
	case BPF_MISC:
		if (BPF_MISCOP(f->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		break;
	}
}

uint32_t seccomp_run(const struct seccomp_program *p, const struct seccomp_data *call)
{
	struct machine m = { .call = call };

	for (size_t at = 0; at < p->n && !m.broken; at++) {
		const struct sock_filter *f = &p->code[at];

		if (BPF_CLASS(f->code) == BPF_RET)
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		if (BPF_CLASS(f->code) == BPF_JMP)
			at += jump(&m, f);
		else
			step(&m, f);
	}
	return SECCOMP_RET_KILL_PROCESS;
}

bool seccomp_allows(const struct seccomp_program *p, const struct seccomp_data *call)
{
	uint32_t action = seccomp_run(p, call) & SECCOMP_RET_ACTION_FULL;

	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

bool seccomp_notifies(const struct seccomp_program *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->code[i].code == (BPF_RET | BPF_K) &&
		    (p->code[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return true;
	return false;
}
