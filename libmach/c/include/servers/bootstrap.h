/* The name service. */
#ifndef SERVERS_BOOTSTRAP_H
#define SERVERS_BOOTSTRAP_H

#include <mach/types.h>

/* At most 127 bytes and a NUL; a longer name is KERN_INVALID_ARGUMENT. */
typedef char name_t[BOOTSTRAP_MAX_NAME_LEN];
typedef name_t *name_array_t;

#define BOOTSTRAP_SUCCESS 0

/* The right to the name service that the program was started with. */
extern mach_port_t bootstrap_port;

/* The receive right of a service that the program's manifest declares. */
kern_return_t bootstrap_check_in(mach_port_t bootstrap, const char *name, mach_port_t *port);
/* A send right to a service, which need not run yet. */
kern_return_t bootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port);
/* The same of at most BOOTSTRAP_MAX_LOOKUP_COUNT services, else BOOTSTRAP_BAD_COUNT. The array is the caller's to
 * deallocate; MACH_PORT_NULL stands for an unknown service, and then not all are known. */
kern_return_t bootstrap_look_up_array(mach_port_t bootstrap, name_array_t names, mach_msg_type_number_t count,
                                      mach_port_array_t *ports, mach_msg_type_number_t *port_count,
                                      boolean_t *all_known);
/* Enters a service that no manifest declares, as long as its port lives. The right stays the caller's. */
kern_return_t bootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port);
/* A new namespace below this one, until the port `requestor` dies or nobody holds a right to it. */
kern_return_t bootstrap_subset(mach_port_t bootstrap, mach_port_t requestor, mach_port_t *subset);
/* The namespace that this one is a subset of; the root's is itself. */
kern_return_t bootstrap_parent(mach_port_t bootstrap, mach_port_t *parent);
/* A port to the same namespace that allows looking up only. */
kern_return_t bootstrap_unprivileged(mach_port_t bootstrap, mach_port_t *unprivileged);

/* With this flag, a service is of one task: the names of a task are apart from all others', and found by who names it. */
#define BOOTSTRAP_PER_PID_SERVICE 1

/* The same as without 2, but for the flag. A task is named by its identity token (0 without the flag), which messages
 * from it carry, and with the flag a program checks any name in, which makes its port. */
kern_return_t bootstrap_check_in2(
    mach_port_t bootstrap, const char *name, mach_port_t *port, uint64_t flags);
kern_return_t bootstrap_look_up2(
    mach_port_t bootstrap, const char *name, mach_port_t *port, uint64_t identity, uint64_t flags);
kern_return_t bootstrap_register2(
    mach_port_t bootstrap, const char *name, mach_port_t port, uint64_t flags);

const char *bootstrap_strerror(kern_return_t code);

#endif
