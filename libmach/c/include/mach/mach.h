/* All of Mach that a C program has. */
#ifndef MACH_MACH_H
#define MACH_MACH_H

#include <mach/clock.h>
#include <mach/exception.h>
#include <mach/host.h>
#include <mach/kern_return.h>
#include <mach/mach_error.h>
#include <mach/mach_port.h>
#include <mach/message.h>
#include <mach/mig_errors.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/semaphore.h>
#include <mach/task.h>
#include <mach/task_info.h>
#include <mach/thread.h>
#include <mach/vm_map.h>
#include <mach/vm_prot.h>

#endif
