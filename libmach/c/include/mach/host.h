/* The machine. */
#ifndef MACH_HOST_H
#define MACH_HOST_H

#include <mach/types.h>

typedef char kernel_version_t[512];

typedef struct {
    uint32_t numer;
    uint32_t denom;
} mach_timebase_info_data_t;

kern_return_t host_page_size(host_t host, vm_size_t *size);
kern_return_t host_kernel_version(host_t host, kernel_version_t version);
/* mach_absolute_time counts nanoseconds. */
kern_return_t mach_timebase_info(mach_timebase_info_data_t *info);

#endif
