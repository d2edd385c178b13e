/* Exceptions: their types are EXC_* of mach/numbers.h; where they go; the messages that handlers get. */
#ifndef MACH_EXCEPTION_H
#define MACH_EXCEPTION_H

#include <mach/message.h>
#include <mach/mig_errors.h>
#include <mach/ndr.h>
#include <mach/thread_status.h>

typedef int exception_type_t;
typedef natural_t exception_mask_t;
typedef natural_t exception_behavior_t;
typedef exception_mask_t *exception_mask_array_t;
typedef mach_port_t *exception_port_array_t;
typedef exception_behavior_t *exception_behavior_array_t;
typedef thread_state_flavor_t *exception_flavor_array_t;

#define EXC_MASK(type) (1u << (type))

/* MACH_PORT_NULL leaves the types to the next level. *count is how many entries there is room for, at most
 * EXC_TYPES_COUNT count; the rights are the caller's. A swap of types that did not all have the same port reads
 * them first and sets them then. */

kern_return_t thread_set_exception_ports(thread_t thread, exception_mask_t mask, mach_port_t port,
                                        exception_behavior_t behavior, thread_state_flavor_t flavor);
kern_return_t thread_get_exception_ports(thread_t thread, exception_mask_t mask, exception_mask_array_t masks,
                                        mach_msg_type_number_t *count, exception_port_array_t ports,
                                        exception_behavior_array_t behaviors, exception_flavor_array_t flavors);
kern_return_t thread_swap_exception_ports(thread_t thread, exception_mask_t mask, mach_port_t port,
                                         exception_behavior_t behavior, thread_state_flavor_t flavor,
                                         exception_mask_array_t masks, mach_msg_type_number_t *count,
                                         exception_port_array_t ports, exception_behavior_array_t behaviors,
                                         exception_flavor_array_t flavors);

kern_return_t task_set_exception_ports(task_t task, exception_mask_t mask, mach_port_t port,
                                        exception_behavior_t behavior, thread_state_flavor_t flavor);
kern_return_t task_get_exception_ports(task_t task, exception_mask_t mask, exception_mask_array_t masks,
                                        mach_msg_type_number_t *count, exception_port_array_t ports,
                                        exception_behavior_array_t behaviors, exception_flavor_array_t flavors);
kern_return_t task_swap_exception_ports(task_t task, exception_mask_t mask, mach_port_t port,
                                         exception_behavior_t behavior, thread_state_flavor_t flavor,
                                         exception_mask_array_t masks, mach_msg_type_number_t *count,
                                         exception_port_array_t ports, exception_behavior_array_t behaviors,
                                         exception_flavor_array_t flavors);

kern_return_t host_set_exception_ports(host_priv_t host, exception_mask_t mask, mach_port_t port,
                                        exception_behavior_t behavior, thread_state_flavor_t flavor);
kern_return_t host_get_exception_ports(host_priv_t host, exception_mask_t mask, exception_mask_array_t masks,
                                        mach_msg_type_number_t *count, exception_port_array_t ports,
                                        exception_behavior_array_t behaviors, exception_flavor_array_t flavors);
kern_return_t host_swap_exception_ports(host_priv_t host, exception_mask_t mask, mach_port_t port,
                                         exception_behavior_t behavior, thread_state_flavor_t flavor,
                                         exception_mask_array_t masks, mach_msg_type_number_t *count,
                                         exception_port_array_t ports, exception_behavior_array_t behaviors,
                                         exception_flavor_array_t flavors);


/* What a handler of EXCEPTION_DEFAULT gets with MACH_EXCEPTION_CODES (id MACH_EXCEPTION_RAISE) and without
 * (EXCEPTION_RAISE). Its answer is a mig_reply_error_t; KERN_SUCCESS resumes the thread. */
#pragma pack(push, 4)
typedef struct {
    mach_msg_header_t Head;
    mach_msg_body_t msgh_body;
    mach_msg_port_descriptor_t thread;
    mach_msg_port_descriptor_t task;
    NDR_record_t NDR;
    exception_type_t exception;
    mach_msg_type_number_t codeCnt;
    int64_t code[2];
} mach_exception_raise_request_t;

typedef struct {
    mach_msg_header_t Head;
    mach_msg_body_t msgh_body;
    mach_msg_port_descriptor_t thread;
    mach_msg_port_descriptor_t task;
    NDR_record_t NDR;
    exception_type_t exception;
    mach_msg_type_number_t codeCnt;
    int code[2];
} exception_raise_request_t;

/* What one of EXCEPTION_STATE_IDENTITY gets (MACH_EXCEPTION_RAISE_STATE_IDENTITY); for EXCEPTION_STATE the words
 * follow the header (MACH_EXCEPTION_RAISE_STATE). The layout is this system's. The answer has the registers that
 * the thread goes on with; to refuse is to answer with a mig_reply_error_t. */
typedef struct {
    uint64_t exception, code, subcode, flavor;
    x86_thread_state64_t state;
} mello_exception_state_t;

typedef struct {
    mach_msg_header_t Head;
    mach_msg_body_t msgh_body;
    mach_msg_port_descriptor_t thread;
    mach_msg_port_descriptor_t task;
    mello_exception_state_t what;
} mach_exception_raise_state_identity_request_t;

typedef struct {
    mach_msg_header_t Head;
    mello_exception_state_t what;
} mach_exception_raise_state_request_t;

typedef struct {
    mach_msg_header_t Head;
    x86_thread_state64_t state;
} mach_exception_raise_state_reply_t;
#pragma pack(pop)

#endif
