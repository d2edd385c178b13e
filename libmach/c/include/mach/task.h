/* The task itself. */
#ifndef MACH_TASK_H
#define MACH_TASK_H

#include <mach/types.h>

/* The task's port; the reference is not the caller's. */
mach_port_t mach_task_self(void);
/* The host's port, one more reference. */
mach_port_t mach_host_self(void);
/* A new receive right. */
mach_port_t mach_reply_port(void);

/* The receive right for the answers to the program's calls. One that a late answer may still come to is
 * given up with mig_dealloc_reply_port. */
mach_port_t mig_get_reply_port(void);
void mig_dealloc_reply_port(mach_port_t port);
void mig_put_reply_port(mach_port_t port);

#endif
