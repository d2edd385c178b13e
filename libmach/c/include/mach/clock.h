/* Clocks, and timers that are ports. */
#ifndef MACH_CLOCK_H
#define MACH_CLOCK_H

#include <mach/semaphore.h>
#include <mach/types.h>

typedef mach_port_t clock_serv_t;
typedef mach_port_t clock_ctrl_t;
typedef mach_port_t clock_reply_t;
typedef int clock_id_t;
typedef int alarm_type_t;
typedef int clock_flavor_t;
typedef int *clock_attr_t;
typedef uint32_t host_flavor_t;

kern_return_t host_get_clock_service(host_t host, clock_id_t which, clock_serv_t *clock);
kern_return_t host_get_clock_control(host_priv_t host, clock_id_t which, clock_ctrl_t *clock);
/* port is a receive right; one message comes when the calendar is set. */
kern_return_t host_request_notification(host_t host, host_flavor_t change, mach_port_t port);
kern_return_t clock_get_time(clock_serv_t clock, mach_timespec_t *time);
/* count is 1. */
kern_return_t clock_get_attributes(clock_serv_t clock, clock_flavor_t flavor, clock_attr_t value,
                                   mach_msg_type_number_t *count);
kern_return_t clock_set_time(clock_ctrl_t clock, mach_timespec_t time);
/* port is a receive right. The message of CLOCK_ALARM_REPLY has words: code, kind, seconds, nanoseconds. */
kern_return_t clock_alarm(clock_serv_t clock, alarm_type_t kind, mach_timespec_t time, clock_reply_t port);
/* woke may be NULL. */
kern_return_t clock_sleep(clock_serv_t clock, alarm_type_t kind, mach_timespec_t time, mach_timespec_t *woke);

/* Nanoseconds since the system's start; it never sleeps. */
uint64_t mach_continuous_time(void);

/* A receive right. Its messages have the id MK_TIMER_EXPIRED and one word, the deadline. */
mach_port_t mk_timer_create(void);
kern_return_t mk_timer_destroy(mach_port_t timer);
kern_return_t mk_timer_arm(mach_port_t timer, uint64_t deadline);
/* The deadline that does not come any more, or 0; deadline may be NULL. */
kern_return_t mk_timer_cancel(mach_port_t timer, uint64_t *deadline);

#endif
