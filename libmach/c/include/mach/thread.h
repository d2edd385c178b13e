/* Threads: the calling one, and any whose port is held. */
#ifndef MACH_THREAD_H
#define MACH_THREAD_H

#include <mach/thread_status.h>
#include <mach/types.h>

/* The thread's port, one more reference. */
mach_port_t mach_thread_self(void);
/* Gives up the turn. Whether other threads wait for one when the caller has its own again. */
boolean_t swtch(void);
/* The same at the lowest priority, until then or for 10 ms; pri does not matter. */
boolean_t swtch_pri(int pri);
/* Yields, depresses or waits, for so many milliseconds; depresses until the next turn when they are 0. */
kern_return_t thread_switch(mach_port_t thread, int option, natural_t milliseconds);
/* Nanoseconds since the system's start. */
uint64_t mach_absolute_time(void);
kern_return_t mach_wait_until(uint64_t deadline);

/* Suspended, without registers. Before anything else of this library, such a thread of the calling task calls
 * mello_thread_attach; mello_thread_start (mello/mello.h) needs nothing of that. */
kern_return_t thread_create(task_t task, thread_t *thread);
kern_return_t thread_create_running(task_t task, thread_state_flavor_t flavor, thread_state_t state,
                                    mach_msg_type_number_t count, thread_t *thread);
kern_return_t thread_terminate(thread_t thread);
kern_return_t thread_suspend(thread_t thread);
kern_return_t thread_resume(thread_t thread);
/* Ends what it waits for. Waits of this library that may go on do so; see MACH_RCV_INTERRUPT. */
kern_return_t thread_abort(thread_t thread);
/* The same of a wait that can be begun again as if there had been none; KERN_FAILURE for others, the wait for an answer
 * to a call of the kernel's or of Rust code for one, and the thread waits on. */
kern_return_t thread_abort_safely(thread_t thread);
kern_return_t thread_depress_abort(thread_t thread);
/* flavor is x86_THREAD_STATE64 or, not for thread_create_running, one of x86_{FLOAT,AVX,DEBUG}_STATE64. KERN_FAILURE: the thread is not stopped; to set, nor may it wait. */
kern_return_t thread_get_state(thread_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t *count);
kern_return_t thread_set_state(thread_t thread, thread_state_flavor_t flavor, thread_state_t state,
                               mach_msg_type_number_t count);

#endif
