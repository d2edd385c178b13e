/* What tasks, threads and the host tell by flavors. count is how many numbers there is room for, and then how many
 * there are. */
#ifndef MACH_TASK_INFO_H
#define MACH_TASK_INFO_H

#include <mach/types.h>

typedef natural_t task_flavor_t;
typedef integer_t *task_info_t;
typedef natural_t thread_flavor_t;
typedef integer_t *thread_info_t;
typedef integer_t host_info_flavor_t;
typedef integer_t *host_info_t;

#pragma pack(push, 4)
typedef struct {
    integer_t seconds;
    integer_t microseconds;
} time_value_t;

typedef struct {
    integer_t suspend_count;
    mach_vm_size_t virtual_size;
    mach_vm_size_t resident_size;
    time_value_t user_time;
    time_value_t system_time;
    integer_t policy;
} task_basic_info_64_data_t;

typedef struct {
    integer_t faults;
    integer_t pageins;
    integer_t cow_faults;
    integer_t messages_sent;
    integer_t messages_received;
    integer_t syscalls_mach;
    integer_t syscalls_unix;
    integer_t csw;
} task_events_info_data_t;

typedef struct {
    time_value_t user_time;
    time_value_t system_time;
    integer_t cpu_usage;
    integer_t policy;
    integer_t run_state;
    integer_t flags;
    integer_t suspend_count;
    integer_t sleep_time;
} thread_basic_info_data_t;
#pragma pack(pop)

_Static_assert(sizeof(task_basic_info_64_data_t) == 4 * TASK_BASIC_INFO_64_COUNT, "task_basic_info_64");
_Static_assert(sizeof(task_events_info_data_t) == 4 * TASK_EVENTS_INFO_COUNT, "task_events_info");
_Static_assert(sizeof(thread_basic_info_data_t) == 4 * THREAD_BASIC_INFO_COUNT, "thread_basic_info");

kern_return_t task_info(task_t task, task_flavor_t flavor, task_info_t info, mach_msg_type_number_t *count);
kern_return_t thread_info(thread_t thread, thread_flavor_t flavor, thread_info_t info, mach_msg_type_number_t *count);
kern_return_t host_info(host_t host, host_info_flavor_t flavor, host_info_t info, mach_msg_type_number_t *count);
kern_return_t host_statistics(host_t host, host_info_flavor_t flavor, host_info_t info, mach_msg_type_number_t *count);
kern_return_t host_statistics64(host_t host, host_info_flavor_t flavor, host_info_t info,
                                mach_msg_type_number_t *count);

#endif
