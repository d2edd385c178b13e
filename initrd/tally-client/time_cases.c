/* Clocks and timers, what tasks and threads tell, wired memory. */

#include "client.h"

void case_clocks(void)
{
    mach_port_t host = mach_host_self();
    mach_port_t port = new_port();
    mach_port_t clock, calendar, timer;
    mach_timespec_t now, later;
    mach_msg_type_number_t count = 1;
    uint64_t deadline = mach_absolute_time() + 1000000000000;
    uint64_t cancelled;
    int resolution;
    received_t found;

    WORKS(host_get_clock_service(host, SYSTEM_CLOCK, &clock));
    WORKS(host_get_clock_service(host, CALENDAR_CLOCK, &calendar));
    EQUAL(host_get_clock_service(host, 9, &timer), KERN_INVALID_ARGUMENT);
    EQUAL(host_get_clock_control(host, CALENDAR_CLOCK, &timer), KERN_NO_ACCESS);
    WORKS(clock_get_time(clock, &now));
    WORKS(clock_get_attributes(clock, CLOCK_GET_TIME_RES, &resolution, &count));
    EQUAL(resolution, 1);
    EQUAL(clock_set_time(calendar, now), KERN_NO_ACCESS);
    WORKS(clock_sleep(clock, TIME_RELATIVE, (mach_timespec_t){0, 1000000}, &later));
    CHECK(later.tv_sec > now.tv_sec || later.tv_nsec >= now.tv_nsec + 1000000);
    EQUAL(clock_sleep(clock, TIME_RELATIVE, (mach_timespec_t){0, -1}, NULL), KERN_INVALID_ARGUMENT);
    WORKS(clock_alarm(clock, TIME_RELATIVE, (mach_timespec_t){0, 1}, port));
    WORKS(mach_msg(&found.message.head, MACH_RCV_MSG, 0, sizeof found, port, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
    EQUAL(found.message.head.msgh_id, CLOCK_ALARM_REPLY);
    EQUAL(found.message.words[0], KERN_SUCCESS);
    EQUAL(found.message.words[1], TIME_RELATIVE);
    WORKS(host_request_notification(host, HOST_NOTIFY_CALENDAR_CHANGE, port));
    EQUAL(host_request_notification(host, 7, port), KERN_INVALID_ARGUMENT);

    timer = mk_timer_create();
    WORKS(mk_timer_arm(timer, deadline));
    WORKS(mk_timer_cancel(timer, &cancelled));
    EQUAL(cancelled, deadline);
    WORKS(mk_timer_arm(timer, 1));
    WORKS(mach_msg(&found.message.head, MACH_RCV_MSG, 0, sizeof found, timer, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
    EQUAL(found.message.head.msgh_id, MK_TIMER_EXPIRED);
    EQUAL(found.message.words[0], 1);
    WORKS(mk_timer_destroy(timer));
    EQUAL(mk_timer_arm(port, 1), KERN_INVALID_ARGUMENT);
    CHECK(mach_continuous_time() >= deadline - 1000000000000);
}

void case_info(void)
{
    mach_port_t task = mach_task_self();
    mach_port_t thread = mach_thread_self();
    mach_port_t privileged = mello_right("host"), own = new_port();
    mach_port_t port;
    task_basic_info_64_data_t before, after;
    task_events_info_data_t events;
    thread_basic_info_data_t basic;
    integer_t load[HOST_LOAD_INFO_COUNT];
    vm_address_t address = 0;
    mach_msg_type_number_t count = TASK_BASIC_INFO_64_COUNT;

    WORKS(task_info(task, TASK_BASIC_INFO_64, (task_info_t)&before, &count));
    EQUAL(count, TASK_BASIC_INFO_64_COUNT);
    WORKS(vm_allocate(task, &address, 4 * PAGE_SIZE, VM_FLAGS_ANYWHERE));
    WORKS(vm_wire(mach_host_self(), task, address, 4 * PAGE_SIZE, VM_PROT_DEFAULT));
    WORKS(task_info(task, TASK_BASIC_INFO_64, (task_info_t)&after, &count));
    CHECK(after.virtual_size >= before.virtual_size + 4 * PAGE_SIZE);
    CHECK(after.resident_size >= before.resident_size + 4 * PAGE_SIZE);
    WORKS(mach_vm_wire(mach_host_self(), task, address, 4 * PAGE_SIZE, VM_PROT_NONE));
    EQUAL(vm_wire(mach_host_self(), task, address, PAGE_SIZE, VM_PROT_NONE), KERN_INVALID_ARGUMENT);
    WORKS(vm_deallocate(task, address, 4 * PAGE_SIZE));
    count = TASK_EVENTS_INFO_COUNT;
    WORKS(task_info(task, TASK_EVENTS_INFO, (task_info_t)&events, &count));
    CHECK(events.faults > 0);
    count = TASK_EVENTS_INFO_COUNT - 1;
    EQUAL(task_info(task, TASK_EVENTS_INFO, (task_info_t)&events, &count), KERN_INVALID_ARGUMENT);
    count = TASK_EVENTS_INFO_COUNT;
    EQUAL(task_info(task, 99, (task_info_t)&events, &count), KERN_INVALID_ARGUMENT);
    count = THREAD_BASIC_INFO_COUNT;
    WORKS(thread_info(thread, THREAD_BASIC_INFO, (thread_info_t)&basic, &count));
    EQUAL(basic.run_state, TH_STATE_RUNNING);
    EQUAL(basic.suspend_count, 0);
    /* Special ports of the host are for who has the privileged one. */
    EQUAL(host_get_special_port(mach_host_self(), HOST_LOCAL_NODE, HOST_PORT, &port), KERN_NO_ACCESS);
    EQUAL(host_set_special_port(mach_host_self(), HOST_MAX_SPECIAL_PORT, own), KERN_NO_ACCESS);
    WORKS(host_set_special_port(privileged, HOST_MAX_SPECIAL_PORT, own));
    WORKS(host_get_special_port(privileged, HOST_LOCAL_NODE, HOST_MAX_SPECIAL_PORT, &port));
    EQUAL(port, own);
    EQUAL(host_set_special_port(privileged, HOST_MAX_SPECIAL_KERNEL_PORT, own), KERN_INVALID_ARGUMENT);
    EQUAL(host_set_special_port(privileged, HOST_MAX_SPECIAL_PORT + 1, own), KERN_INVALID_ARGUMENT);
    WORKS(host_get_special_port(privileged, HOST_LOCAL_NODE, HOST_PORT, &port));
    EQUAL(port, mach_host_self());
    count = HOST_LOAD_INFO_COUNT;
    WORKS(host_statistics(mach_host_self(), HOST_LOAD_INFO, load, &count));
    EQUAL(count, HOST_LOAD_INFO_COUNT);
}
