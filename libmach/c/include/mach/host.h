/* The machine. */
#ifndef MACH_HOST_H
#define MACH_HOST_H

#include <mach/types.h>

#define HOST_LOCAL_NODE -1

typedef char kernel_version_t[512];

typedef struct {
    uint32_t numer;
    uint32_t denom;
} mach_timebase_info_data_t;

kern_return_t host_page_size(host_t host, vm_size_t *size);
kern_return_t host_kernel_version(host_t host, kernel_version_t version);
/* By the privileged port; the node counts for nothing. Those up to HOST_MAX_SPECIAL_KERNEL_PORT are the kernel's, and
 * not to be set; a right that was there before ends. */
kern_return_t host_get_special_port(host_t host, int node, int which, mach_port_t *port);
kern_return_t host_set_special_port(host_t host, int which, mach_port_t port);
/* mach_absolute_time counts nanoseconds. */
kern_return_t mach_timebase_info(mach_timebase_info_data_t *info);

#endif
