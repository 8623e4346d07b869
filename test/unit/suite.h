/* How the unit tests end. */
#ifndef CKPT_TEST_SUITE_H
#define CKPT_TEST_SUITE_H

#include <check.h>

/* Runs a suite, which is freed. Returns main()'s exit status. */
static inline int suite_run(Suite *suite)
{
	SRunner *r = srunner_create(suite);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

#endif
