/* Where extended registers stand in an XSAVE area: asks the CPU by CPUID leaf 0xD. */
#include "xstate.h"

#include <cpuid.h>
#include <sys/platform/x86.h>

const struct xstate_layout *xstate_layout(void)
{
	static struct xstate_layout layout;
	unsigned int eax, ebx, ecx, edx;

	if (layout.features)
		return &layout;
	layout.component[XSTATE_X87].size = 160;
	layout.component[XSTATE_SSE].offset = 160;
	layout.component[XSTATE_SSE].size = 256;
	if (!CPU_FEATURE_PRESENT(OSXSAVE)) {
		layout.features = XSTATE_BIT(XSTATE_X87) | XSTATE_BIT(XSTATE_SSE);
		return &layout;
	}
	unsigned int low, high;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	/* only what the kernel switched on: on a virtual machine each question takes microseconds */
	for (unsigned int i = 2; i < XSTATE_COMPONENTS; i++) {
		if (!(low & XSTATE_BIT(i)))
			continue;
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		if (ecx & 1) /* a supervisor component: never in a user area */
			continue;
		layout.component[i].size = eax;
		layout.component[i].offset = ebx;
	}
	layout.features = ((uint64_t)high << 32) | low;
	return &layout;
}

size_t xstate_size(uint64_t features)
{
	const struct xstate_layout *layout = xstate_layout();
	size_t size = XSTATE_HEADER + 64;

	for (int i = 2; i < XSTATE_COMPONENTS; i++) {
		size_t end = layout->component[i].offset + layout->component[i].size;

		if ((features & XSTATE_BIT(i)) && end > size)
			size = end;
	}
	return size;
}
