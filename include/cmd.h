/* The subcommands, one cmd_NAME.c each. They return the exit status of the program. */
#ifndef CKPT_CMD_H
#define CKPT_CMD_H

struct opts;

int cmd_dump(const struct opts *opts);
int cmd_pre_dump(const struct opts *opts);
int cmd_restore(const struct opts *opts);
int cmd_explain(const struct opts *opts);
int cmd_show(const struct opts *opts);
int cmd_verify(const struct opts *opts);
int cmd_check(const struct opts *opts);
int cmd_cpuinfo(const struct opts *opts);
int cmd_dedup(const struct opts *opts);
int cmd_page_server(const struct opts *opts);
int cmd_lazy_pages(const struct opts *opts);

#endif
