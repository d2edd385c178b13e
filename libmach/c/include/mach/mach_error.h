/* Codes in words. */
#ifndef MACH_MACH_ERROR_H
#define MACH_MACH_ERROR_H

#include <mach/types.h>

/* The code's name. The text stays valid. */
const char *mach_error_string(kern_return_t code);

#endif
