/* The name service. */
#ifndef SERVERS_BOOTSTRAP_H
#define SERVERS_BOOTSTRAP_H

#include <mach/types.h>

/* At most 127 bytes and a NUL; a longer name is KERN_INVALID_ARGUMENT. */
typedef char name_t[BOOTSTRAP_MAX_NAME_LEN];

#define BOOTSTRAP_SUCCESS 0

/* The right to the name service that the program was started with. */
extern mach_port_t bootstrap_port;

/* The receive right of a service that the program's manifest declares. */
kern_return_t bootstrap_check_in(mach_port_t bootstrap, const char *name, mach_port_t *port);
/* A send right to a service, which need not run yet. */
kern_return_t bootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port);
/* Enters a service that no manifest declares, as long as its port lives. The right stays the caller's. */
kern_return_t bootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port);
/* A new namespace below this one, until the port `requestor` dies or nobody holds a right to it. */
kern_return_t bootstrap_subset(mach_port_t bootstrap, mach_port_t requestor, mach_port_t *subset);
/* The namespace that this one is a subset of; the root's is itself. */
kern_return_t bootstrap_parent(mach_port_t bootstrap, mach_port_t *parent);
/* A port to the same namespace that allows looking up only. */
kern_return_t bootstrap_unprivileged(mach_port_t bootstrap, mach_port_t *unprivileged);

const char *bootstrap_strerror(kern_return_t code);

#endif
