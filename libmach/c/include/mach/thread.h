/* The calling thread. */
#ifndef MACH_THREAD_H
#define MACH_THREAD_H

#include <mach/types.h>

/* The thread's port, one more reference. */
mach_port_t mach_thread_self(void);
/* Yields, depresses or waits, for so many milliseconds. */
kern_return_t thread_switch(mach_port_t thread, int option, natural_t milliseconds);
/* Nanoseconds since the system's start. */
uint64_t mach_absolute_time(void);
kern_return_t mach_wait_until(uint64_t deadline);

#endif
