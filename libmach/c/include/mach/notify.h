/* Messages that the kernel sends on its own. */
#ifndef MACH_NOTIFY_H
#define MACH_NOTIFY_H

#include <mach/message.h>
#include <mach/ndr.h>

#pragma pack(push, 4)

typedef struct {
    mach_msg_header_t not_header;
    NDR_record_t NDR;
    mach_port_name_t not_port;
} mach_port_deleted_notification_t;

typedef mach_port_deleted_notification_t mach_send_possible_notification_t;
typedef mach_port_deleted_notification_t mach_dead_name_notification_t;

typedef struct {
    mach_msg_header_t not_header;
    mach_msg_body_t not_body;
    mach_msg_port_descriptor_t not_port;
} mach_port_destroyed_notification_t;

typedef struct {
    mach_msg_header_t not_header;
    NDR_record_t NDR;
    mach_msg_type_name_t not_count;
} mach_no_senders_notification_t;

typedef struct {
    mach_msg_header_t not_header;
} mach_send_once_notification_t;

#pragma pack(pop)

#endif
