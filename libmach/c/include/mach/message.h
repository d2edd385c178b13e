/* Messages in a program's own memory, and mach_msg. */
#ifndef MACH_MESSAGE_H
#define MACH_MESSAGE_H

#include <mach/port.h>

typedef unsigned int mach_msg_bits_t;
typedef natural_t mach_msg_size_t;
typedef integer_t mach_msg_id_t;
typedef unsigned int mach_msg_type_name_t;
typedef unsigned int mach_msg_copy_options_t;
typedef unsigned int mach_msg_descriptor_type_t;
typedef unsigned int mach_msg_trailer_type_t;
typedef unsigned int mach_msg_trailer_size_t;
typedef natural_t mach_msg_timeout_t;
typedef integer_t mach_msg_option_t;
typedef kern_return_t mach_msg_return_t;

#define MACH_MSG_SUCCESS 0
#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)
#define MACH_MSG_OPTION_NONE 0
#define MACH_MSG_SIZE_MAX ((mach_msg_size_t)~0)

#define MACH_MSG_TYPE_PORT_NONE 0
#define MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND MACH_MSG_TYPE_MOVE_SEND
#define MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE

#define MACH_MSGH_BITS_ZERO 0
#define MACH_MSGH_BITS(remote, local) ((mach_msg_bits_t)((remote) | ((local) << MACH_MSGH_BITS_LOCAL_SHIFT)))
#define MACH_MSGH_BITS_REMOTE(bits) ((bits) & MACH_MSGH_BITS_REMOTE_MASK)
#define MACH_MSGH_BITS_LOCAL(bits) (((bits) & MACH_MSGH_BITS_LOCAL_MASK) >> MACH_MSGH_BITS_LOCAL_SHIFT)
#define MACH_MSGH_BITS_IS_COMPLEX(bits) (((bits) & MACH_MSGH_BITS_COMPLEX) != 0)

#pragma pack(push, 4)

typedef struct {
    mach_msg_bits_t msgh_bits;
    mach_msg_size_t msgh_size;
    mach_port_t msgh_remote_port;
    mach_port_t msgh_local_port;
    mach_port_name_t msgh_voucher_port;
    mach_msg_id_t msgh_id;
} mach_msg_header_t;

typedef struct {
    mach_msg_size_t msgh_descriptor_count;
} mach_msg_body_t;

typedef struct {
    mach_msg_header_t header;
    mach_msg_body_t body;
} mach_msg_base_t;

/* What all descriptors have in common. */
typedef struct {
    natural_t pad1;
    mach_msg_size_t pad2;
    unsigned int pad3 : 24;
    mach_msg_descriptor_type_t type : 8;
} mach_msg_type_descriptor_t;

typedef struct {
    mach_port_t name;
    mach_msg_size_t pad1;
    unsigned int pad2 : 16;
    mach_msg_type_name_t disposition : 8;
    mach_msg_descriptor_type_t type : 8;
} mach_msg_port_descriptor_t;

typedef struct {
    void *address;
    boolean_t deallocate : 8;
    mach_msg_copy_options_t copy : 8;
    unsigned int pad1 : 8;
    mach_msg_descriptor_type_t type : 8;
    mach_msg_size_t size;
} mach_msg_ool_descriptor_t;

typedef struct {
    void *address;
    boolean_t deallocate : 8;
    mach_msg_copy_options_t copy : 8;
    mach_msg_type_name_t disposition : 8;
    mach_msg_descriptor_type_t type : 8;
    mach_msg_size_t count;
} mach_msg_ool_ports_descriptor_t;

/* The sender's identity: the system's 64-bit token, its low half first. */
typedef struct {
    unsigned int val[2];
} security_token_t;

/* The same token in val[0] and val[1]; the rest is 0. */
typedef struct {
    unsigned int val[8];
} audit_token_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
} mach_msg_trailer_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
} mach_msg_seqno_trailer_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
} mach_msg_security_trailer_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
} mach_msg_audit_trailer_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
    mach_port_context_t msgh_context;
} mach_msg_context_trailer_t;

typedef struct {
    mach_port_name_t sender;
} msg_labels_t;

typedef int mach_msg_filter_id;

/* The last two say nothing: messages are not filtered, and have no labels. */
typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
    mach_port_context_t msgh_context;
    mach_msg_filter_id msgh_ad;
    msg_labels_t msgh_labels;
} mach_msg_mac_trailer_t;

typedef mach_msg_mac_trailer_t mach_msg_max_trailer_t;

#pragma pack(pop)

/* Six words: the message that travels in registers. The calls of the system's interfaces
 * (mello/interfaces.h) have this shape when their arguments fit; word 0 of a reply is its code. */
typedef struct {
    mach_msg_header_t head;
    uint64_t words[MACH_MSG_WORDS];
} mach_msg_words_t;

#define MACH_MSG_TRAILER_FORMAT_0 0
#define MACH_MSG_TRAILER_MINIMUM_SIZE sizeof(mach_msg_trailer_t)
#define MACH_RCV_TRAILER_TYPE(type) ((mach_msg_option_t)(((type) & 0xfu) << MACH_RCV_TRAILER_TYPE_SHIFT))
#define MACH_RCV_TRAILER_ELEMENTS(elements) \
    ((mach_msg_option_t)(((elements) & 0xfu) << MACH_RCV_TRAILER_ELEMENTS_SHIFT))

_Static_assert(sizeof(mach_msg_header_t) == MACH_MSG_HEADER_SIZE, "mach_msg_header_t");
_Static_assert(sizeof(mach_msg_base_t) == MACH_MSG_HEADER_SIZE + MACH_MSG_BODY_SIZE, "mach_msg_base_t");
_Static_assert(sizeof(mach_msg_type_descriptor_t) == MACH_MSG_PORT_DESCRIPTOR_SIZE, "mach_msg_type_descriptor_t");
_Static_assert(sizeof(mach_msg_port_descriptor_t) == MACH_MSG_PORT_DESCRIPTOR_SIZE, "mach_msg_port_descriptor_t");
_Static_assert(sizeof(mach_msg_ool_descriptor_t) == MACH_MSG_OOL_DESCRIPTOR_SIZE, "mach_msg_ool_descriptor_t");
_Static_assert(sizeof(mach_msg_ool_ports_descriptor_t) == MACH_MSG_OOL_DESCRIPTOR_SIZE,
               "mach_msg_ool_ports_descriptor_t");
_Static_assert(sizeof(mach_msg_max_trailer_t) == MAX_TRAILER_SIZE, "mach_msg_max_trailer_t");
_Static_assert(sizeof(mach_msg_words_t) == MACH_MSG_HEADER_SIZE + 8 * MACH_MSG_WORDS, "mach_msg_words_t");

/* Sends, receives, or both. A timeout is in milliseconds from now, and one for both halves. What is not there (vouchers, send
 * notifications) is KERN_NOT_SUPPORTED or an error of its own. */
mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                           mach_msg_size_t rcv_size, mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
                           mach_port_name_t notify);

/* The same with a buffer of its own for what is received, unless rcv_msg is NULL. */
mach_msg_return_t mach_msg_overwrite(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                                     mach_msg_size_t rcv_size, mach_port_name_t rcv_name,
                                     mach_msg_timeout_t timeout, mach_port_name_t notify,
                                     mach_msg_header_t *rcv_msg, mach_msg_size_t rcv_limit);

/* Releases the rights and the memory that a received message brought. */
void mach_msg_destroy(mach_msg_header_t *msg);

/* Serves requests until a receive fails. demux fills in the reply; what it does not know it leaves as it
 * is. After any code but KERN_SUCCESS and MIG_NO_REPLY the request's rights are released. */
typedef boolean_t (*mach_msg_demux_t)(mach_msg_header_t *request, mach_msg_header_t *reply);
mach_msg_return_t mach_msg_server(mach_msg_demux_t demux, mach_msg_size_t max_size, mach_port_t rcv_name,
                                  mach_msg_option_t options);
mach_msg_return_t mach_msg_server_once(mach_msg_demux_t demux, mach_msg_size_t max_size, mach_port_t rcv_name,
                                       mach_msg_option_t options);

#endif
