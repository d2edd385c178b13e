/* A thread's registers. */
#ifndef MACH_THREAD_STATUS_H
#define MACH_THREAD_STATUS_H

#include <mach/types.h>

typedef int thread_state_flavor_t;
typedef natural_t *thread_state_t;

/* As in other Machs up to rflags; then the segments' bases instead of their selectors, which are the kernel's. */
typedef struct {
    uint64_t rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags, fs_base, gs_base;
} x86_thread_state64_t;

_Static_assert(sizeof(x86_thread_state64_t) == 4 * x86_THREAD_STATE64_COUNT, "x86_thread_state64_t");

#endif
