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

/* As fxsave64 lays them out, without the words that other Machs reserve around them. */
typedef struct {
    uint16_t fpu_fcw, fpu_fsw;
    uint8_t fpu_ftw, fpu_rsrv1;
    uint16_t fpu_fop;
    uint64_t fpu_ip, fpu_dp;
    uint32_t fpu_mxcsr, fpu_mxcsrmask;
    uint8_t fpu_stmm[8][16];
    uint8_t fpu_xmm[16][16];
    uint8_t fpu_rsrv4[96];
} x86_float_state64_t;

/* The same, and the upper halves of the registers of 256 bits. */
typedef struct {
    x86_float_state64_t fpu;
    uint8_t fpu_ymmh[16][16];
} x86_avx_state64_t;

/* dr4 and dr5 are not there: 0. */
typedef struct {
    uint64_t dr0, dr1, dr2, dr3, dr4, dr5, dr6, dr7;
} x86_debug_state64_t;

_Static_assert(sizeof(x86_float_state64_t) == 4 * x86_FLOAT_STATE64_COUNT, "x86_float_state64_t");
_Static_assert(sizeof(x86_avx_state64_t) == 4 * x86_AVX_STATE64_COUNT, "x86_avx_state64_t");
_Static_assert(sizeof(x86_debug_state64_t) == 4 * x86_DEBUG_STATE64_COUNT, "x86_debug_state64_t");
_Static_assert(sizeof(x86_thread_state64_t) == 4 * x86_THREAD_STATE64_COUNT, "x86_thread_state64_t");

#endif
