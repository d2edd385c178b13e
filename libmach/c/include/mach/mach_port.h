/* Calls on a task's port names. Rights are allocated in, inserted into and extracted from any task whose port is
 * held, and its names listed; for the rest, another task than mach_task_self() is KERN_NOT_SUPPORTED. */
#ifndef MACH_MACH_PORT_H
#define MACH_MACH_PORT_H

#include <mach/message.h>

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name);
kern_return_t mach_port_allocate_name(ipc_space_t task, mach_port_right_t right, mach_port_name_t name);
kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name);
kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name);
kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                 mach_port_delta_t delta);
kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                 mach_port_urefs_t *refs);
kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name, mach_port_type_t *type);
kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t right,
                                     mach_msg_type_name_t disposition);
/* A send right, which is moved to the caller. */
kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name, mach_msg_type_name_t disposition,
                                      mach_port_t *right, mach_msg_type_name_t *type);
/* Both arrays are the caller's to deallocate. */
kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *name_count,
                              mach_port_type_t **types, mach_msg_type_number_t *type_count);
kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t set);
kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t set);
kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t set);
kern_return_t mach_port_set_context(ipc_space_t task, mach_port_name_t name, mach_port_context_t context);
kern_return_t mach_port_get_context(ipc_space_t task, mach_port_name_t name, mach_port_context_t *context);
kern_return_t mach_port_set_mscount(ipc_space_t task, mach_port_name_t name, mach_port_mscount_t count);
kern_return_t mach_port_set_seqno(ipc_space_t task, mach_port_name_t name, mach_port_seqno_t seqno);
kern_return_t mach_port_get_attributes(ipc_space_t task, mach_port_name_t name, mach_port_flavor_t flavor,
                                       mach_port_info_t info, natural_t *count);
kern_return_t mach_port_set_attributes(ipc_space_t task, mach_port_name_t name, mach_port_flavor_t flavor,
                                       mach_port_info_t info, natural_t count);

/* disposition is MACH_MSG_TYPE_MAKE_SEND_ONCE, and notify a receive right, or MACH_PORT_NULL. */
kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name, mach_msg_id_t id,
                                             mach_port_mscount_t sync, mach_port_t notify,
                                             mach_msg_type_name_t disposition, mach_port_t *previous);

#endif
