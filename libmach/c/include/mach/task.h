/* Tasks: the calling one, and any whose port is held. */
#ifndef MACH_TASK_H
#define MACH_TASK_H

#include <mach/types.h>

/* The task's port; the reference is not the caller's. */
mach_port_t mach_task_self(void);
/* The host's port, one more reference. */
mach_port_t mach_host_self(void);
/* A new receive right. */
mach_port_t mach_reply_port(void);

/* The receive right for the answers to the thread's calls. One that a late answer may still come to is
 * given up with mig_dealloc_reply_port. */
mach_port_t mig_get_reply_port(void);
void mig_dealloc_reply_port(mach_port_t port);
void mig_put_reply_port(mach_port_t port);

/* A task without threads and rights, which may hold half of what is left to its parent. There are no ledger
 * ports: ledgers is NULL and count 0. */
kern_return_t task_create(task_t parent, ledger_t *ledgers, mach_msg_type_number_t count, boolean_t inherit_memory,
                          task_t *child);
kern_return_t task_terminate(task_t task);
kern_return_t task_suspend(task_t task);
kern_return_t task_resume(task_t task);
/* Array and rights are the caller's to deallocate. */
kern_return_t task_threads(task_t task, thread_act_array_t *threads, mach_msg_type_number_t *count);

/* which is TASK_KERNEL_PORT, TASK_HOST_PORT or TASK_BOOTSTRAP_PORT. MACH_PORT_NULL takes the port away. */
kern_return_t task_get_special_port(task_t task, int which, mach_port_t *port);
kern_return_t task_set_special_port(task_t task, int which, mach_port_t port);
#define task_get_bootstrap_port(task, port) (task_get_special_port((task), TASK_BOOTSTRAP_PORT, (port)))
#define task_set_bootstrap_port(task, port) (task_set_special_port((task), TASK_BOOTSTRAP_PORT, (port)))

/* At most TASK_PORT_REGISTER_MAX ports. */
kern_return_t mach_ports_register(task_t task, mach_port_array_t ports, mach_msg_type_number_t count);
kern_return_t mach_ports_lookup(task_t task, mach_port_array_t *ports, mach_msg_type_number_t *count);

#endif
