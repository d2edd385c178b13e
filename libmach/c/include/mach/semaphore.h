/* Semaphores. */
#ifndef MACH_SEMAPHORE_H
#define MACH_SEMAPHORE_H

#include <mach/types.h>

/* A span of time. */
typedef struct {
    unsigned int tv_sec;
    int tv_nsec;
} mach_timespec_t;

/* policy is SYNC_POLICY_FIFO, or SYNC_POLICY_FIXED_PRIORITY: a signal lets the thread of the highest priority go. */
kern_return_t semaphore_create(task_t task, semaphore_t *semaphore, int policy, int value);
kern_return_t semaphore_destroy(task_t task, semaphore_t semaphore);
kern_return_t semaphore_signal(semaphore_t semaphore);
kern_return_t semaphore_signal_all(semaphore_t semaphore);
/* KERN_NOT_WAITING: the thread does not wait there. */
kern_return_t semaphore_signal_thread(semaphore_t semaphore, thread_t thread);
kern_return_t semaphore_wait(semaphore_t semaphore);
kern_return_t semaphore_timedwait(semaphore_t semaphore, mach_timespec_t span);
/* Signals one and waits for the other. */
kern_return_t semaphore_wait_signal(semaphore_t wait, semaphore_t signal);
kern_return_t semaphore_timedwait_signal(semaphore_t wait, semaphore_t signal, mach_timespec_t span);

#endif
