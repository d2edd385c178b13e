/* kern_return_t and its codes. */
#ifndef MACH_KERN_RETURN_H
#define MACH_KERN_RETURN_H

#include <mach/types.h>

#endif
