/* mach_msg on ports of the program's own. */

#include "client.h"

/* A message of more than words, with data of any size. */
typedef struct {
    mach_msg_header_t head;
    uint32_t data[44];
    mach_msg_max_trailer_t trailer;
} long_t;

#define LONG_SIZE (sizeof(mach_msg_header_t) + sizeof((long_t *)0)->data)

void case_timeouts(void)
{
    mach_port_t port = new_port();
    mach_port_limits_t limits = {.mpl_qlimit = 1};
    mach_msg_words_t message = words_to(port, MACH_MSG_TYPE_MAKE_SEND, 11);
    received_t found;
    uint64_t before = mach_absolute_time();

    EQUAL(poll(port, &found, sizeof found), MACH_RCV_TIMED_OUT);
    EQUAL(mach_msg(&found.message.head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof found, port, 20, MACH_PORT_NULL),
          MACH_RCV_TIMED_OUT);
    CHECK(mach_absolute_time() - before >= 20000000);
    WORKS(mach_port_set_attributes(mach_task_self(), port, MACH_PORT_LIMITS_INFO, (mach_port_info_t)&limits,
                                   MACH_PORT_LIMITS_INFO_COUNT));
    send_words(port, 10, 0);
    message.words[5] = 55;
    message.head.msgh_bits |= MACH_MSGH_BITS(0, MACH_MSG_TYPE_MAKE_SEND_ONCE);
    message.head.msgh_local_port = port;
    EQUAL(mach_msg(&message.head, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof message, 0, MACH_PORT_NULL, 1,
                   MACH_PORT_NULL),
          MACH_SEND_TIMED_OUT);
    /* It came back: the rights are there as if they had been received, the data is as it was. */
    EQUAL(message.head.msgh_bits, MACH_MSGH_BITS(MACH_MSG_TYPE_PORT_SEND, MACH_MSG_TYPE_PORT_SEND_ONCE));
    EQUAL(message.head.msgh_remote_port, port);
    EQUAL(message.head.msgh_id, 11);
    EQUAL(message.words[5], 55);
    mach_port_type_t type;
    WORKS(mach_port_type(mach_task_self(), message.head.msgh_local_port, &type));
    EQUAL(type, MACH_PORT_TYPE_SEND_ONCE);
    /* There is room now: the same message goes. */
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, 10);
    WORKS(mach_msg(&message.head, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, 11);
    EQUAL(found.message.words[5], 55);
    EQUAL(MACH_MSGH_BITS_REMOTE(found.message.head.msgh_bits), MACH_MSG_TYPE_PORT_SEND_ONCE);
    /* A send-once right that is given up makes a notification. */
    mach_msg_destroy(&found.message.head);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, MACH_NOTIFY_SEND_ONCE);
}

/* Queues a message of LONG_SIZE with a send-once right of the port's own. */
static void send_long(mach_port_t port)
{
    long_t message = {
        .head =
            {
                .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE),
                .msgh_remote_port = port,
                .msgh_local_port = port,
                .msgh_id = 20,
            },
        .data = {[0] = 1, [43] = 44},
    };

    WORKS(mach_msg(&message.head, MACH_SEND_MSG, LONG_SIZE, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

void case_large(void)
{
    const mach_msg_option_t options = MACH_RCV_MSG | MACH_RCV_TIMEOUT;
    mach_port_t port = new_port();
    received_t small;
    long_t found;

    send_long(port);
    for (int i = 0; i < 2; i++) {
        EQUAL(mach_msg(&small.message.head, options | MACH_RCV_LARGE | MACH_RCV_LARGE_IDENTITY, 0, sizeof small, port,
                       0, MACH_PORT_NULL),
              MACH_RCV_TOO_LARGE);
        EQUAL(small.message.head.msgh_size, LONG_SIZE);
        EQUAL(small.message.head.msgh_local_port, port);
    }
    /* It is still there, and before any other. */
    send_words(port, 21, 0);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.head.msgh_id, 20);
    EQUAL(found.head.msgh_size, LONG_SIZE);
    EQUAL(found.data[0], 1);
    EQUAL(found.data[43], 44);
    mach_msg_destroy(&found.head);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.head.msgh_id, MACH_NOTIFY_SEND_ONCE);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.head.msgh_id, 21);
    /* Without MACH_RCV_LARGE it is destroyed, and its rights with it. */
    send_long(port);
    EQUAL(poll(port, &small, sizeof small), MACH_RCV_TOO_LARGE);
    EQUAL(small.message.head.msgh_size, LONG_SIZE);
    WORKS(poll(port, &small, sizeof small));
    EQUAL(small.message.head.msgh_id, MACH_NOTIFY_SEND_ONCE);
    EQUAL(poll(port, &small, sizeof small), MACH_RCV_TIMED_OUT);
}

/* Receives with so many trailer elements, into a buffer that was filled with 0xee. */
static long_t receive_with(mach_port_t port, mach_msg_option_t elements)
{
    long_t found;

    memset(&found, 0xee, sizeof found);
    WORKS(mach_msg(&found.head, MACH_RCV_MSG | MACH_RCV_TRAILER_ELEMENTS(elements), 0, sizeof found, port, 0,
                   MACH_PORT_NULL));
    return found;
}

void case_trailers(void)
{
    mach_port_t port = new_port();
    uint64_t label = 0x123456789abcdef0;
    audit_token_t audit;
    long_t found;

    WORKS(mach_port_set_context(mach_task_self(), port, label));
    for (int words = 0; words < 2; words++) {
        WORKS(mach_port_set_seqno(mach_task_self(), port, 100));
        for (mach_port_seqno_t i = 0; i < 4; i++) {
            if (words) {
                send_words(port, 30, 0);
            } else {
                send_long(port);
            }
        }
        mach_msg_size_t size = words ? sizeof(mach_msg_words_t) : LONG_SIZE;
        found = receive_with(port, MACH_RCV_TRAILER_NULL);
        mach_msg_max_trailer_t *trailer = (void *)((char *)&found + size);
        EQUAL(found.head.msgh_size, size);
        EQUAL(trailer->msgh_trailer_type, MACH_MSG_TRAILER_FORMAT_0);
        EQUAL(trailer->msgh_trailer_size, sizeof(mach_msg_trailer_t));
        /* Nothing behind it was touched. */
        EQUAL(trailer->msgh_seqno, 0xeeeeeeee);
        found = receive_with(port, MACH_RCV_TRAILER_SEQNO);
        EQUAL(trailer->msgh_trailer_size, sizeof(mach_msg_seqno_trailer_t));
        EQUAL(trailer->msgh_seqno, 101);
        EQUAL(trailer->msgh_sender.val[0], 0xeeeeeeee);
        found = receive_with(port, MACH_RCV_TRAILER_CTX);
        EQUAL(trailer->msgh_trailer_size, sizeof(mach_msg_context_trailer_t));
        EQUAL(trailer->msgh_seqno, 102);
        EQUAL(trailer->msgh_context, label);
        EQUAL((unsigned)trailer->msgh_ad, 0xeeeeeeee);
        /* The sender is this program: the same each time, and somebody. */
        CHECK(trailer->msgh_sender.val[0] != 0 || trailer->msgh_sender.val[1] != 0);
        CHECK(!words || memcmp(&audit, &trailer->msgh_audit, sizeof audit) == 0);
        audit = trailer->msgh_audit;
        EQUAL(audit.val[0], trailer->msgh_sender.val[0]);
        found = receive_with(port, MACH_RCV_TRAILER_LABELS);
        EQUAL(trailer->msgh_trailer_size, sizeof(mach_msg_mac_trailer_t));
        EQUAL(trailer->msgh_seqno, 103);
        EQUAL(trailer->msgh_context, label);
        EQUAL(trailer->msgh_ad, 0);
        EQUAL(trailer->msgh_labels.sender, MACH_PORT_NULL);
    }
    send_words(port, 31, 0);
    EQUAL(mach_msg(&found.head, MACH_RCV_MSG | MACH_RCV_TRAILER_ELEMENTS(6), 0, sizeof found, port, 0,
                   MACH_PORT_NULL),
          MACH_RCV_INVALID_TRAILER);
    /* Its room counts: a buffer of the message's size is too small. */
    EQUAL(poll(port, &found, sizeof(mach_msg_words_t)), MACH_RCV_TOO_LARGE);
}

void case_refusals(void)
{
    mach_port_t port = new_port();
    mach_msg_words_t message = words_to(port, MACH_MSG_TYPE_COPY_SEND, 40);
    mach_msg_words_t bad;
    received_t found;

#define SEND(size) mach_msg(&bad.head, MACH_SEND_MSG, (size), 0, MACH_PORT_NULL, 0, MACH_PORT_NULL)
    bad = message;
    EQUAL(SEND(sizeof(mach_msg_header_t) - 4), MACH_SEND_MSG_TOO_SMALL);
    EQUAL(SEND(sizeof bad - 2), MACH_SEND_MSG_TOO_SMALL);
    bad.head.msgh_bits |= 0x40000000;
    EQUAL(SEND(sizeof bad), MACH_SEND_INVALID_HEADER);
    bad = message;
    bad.head.msgh_voucher_port = port;
    EQUAL(SEND(sizeof bad), MACH_SEND_INVALID_VOUCHER);
    bad = message;
    bad.head.msgh_remote_port = 0x7777700;
    EQUAL(SEND(sizeof bad), MACH_SEND_INVALID_DEST);
    bad = message;
    bad.head.msgh_bits |= MACH_MSGH_BITS(0, MACH_MSG_TYPE_MOVE_SEND_ONCE);
    bad.head.msgh_local_port = new_port();
    EQUAL(SEND(sizeof bad), MACH_SEND_INVALID_REPLY);
    bad = message;
    bad.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    bad.words[0] = 4;
    EQUAL(SEND(sizeof bad), MACH_SEND_MSG_TOO_SMALL);
    /* A body that is wrong uses the header's rights up. */
    bad.head.msgh_bits |= MACH_MSGH_BITS(0, MACH_MSG_TYPE_MAKE_SEND_ONCE);
    bad.head.msgh_local_port = port;
    ((mach_msg_body_t *)(&bad.head + 1))->msgh_descriptor_count = 1;
    ((mach_msg_type_descriptor_t *)((char *)bad.words + 4))->type = 99;
    EQUAL(SEND(sizeof bad), MACH_SEND_INVALID_TYPE);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, MACH_NOTIFY_SEND_ONCE);
    EQUAL(poll(port, &found, sizeof found), MACH_RCV_TIMED_OUT);
    EQUAL(poll(MACH_PORT_NULL, &found, sizeof found), MACH_RCV_INVALID_NAME);
    /* What is wrong with the receive does not stop the send. */
    bad = message;
    EQUAL(mach_msg(&bad.head, MACH_SEND_MSG | MACH_RCV_MSG, sizeof bad, sizeof bad, MACH_PORT_NULL, 0,
                   MACH_PORT_NULL),
          MACH_RCV_INVALID_NAME);
    WORKS(poll(port, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, 40);
    EQUAL(memcmp(mach_error_string(MACH_SEND_INVALID_DEST), "MACH_SEND_INVALID_DEST", 23), 0);
    EQUAL(memcmp(mach_error_string(MIG_SERVER_DIED), "MIG_SERVER_DIED", 16), 0);
}

#define ARRAY_COUNT 100

#pragma pack(push, 4)
typedef struct {
    mach_msg_base_t base;
    mach_msg_ool_ports_descriptor_t ports;
    mach_msg_max_trailer_t trailer;
} array_t;
#pragma pack(pop)

void case_array(void)
{
    mach_port_t port = new_port(), other = new_port(), names[ARRAY_COUNT];
    mach_msg_size_t size = sizeof(array_t) - sizeof(mach_msg_max_trailer_t);
    array_t message = {
        .base = {.header = {.msgh_bits = MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0),
                            .msgh_remote_port = port,
                            .msgh_id = 60},
                 .body = {.msgh_descriptor_count = 1}},
        .ports = {.address = names,
                  .disposition = MACH_MSG_TYPE_MAKE_SEND,
                  .type = MACH_MSG_OOL_PORTS_DESCRIPTOR,
                  .count = ARRAY_COUNT},
    };
    mach_port_urefs_t before, references;
    mach_port_t *found;

    WORKS(mach_port_get_refs(mach_task_self(), other, MACH_PORT_RIGHT_SEND, &before));
    for (int i = 0; i < ARRAY_COUNT; i++) {
        names[i] = i == 7 ? MACH_PORT_NULL : other;
    }
    WORKS(mach_msg(&message.base.header, MACH_SEND_MSG, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    WORKS(poll(port, &message, sizeof message));
    EQUAL(message.base.body.msgh_descriptor_count, 1);
    EQUAL(message.ports.type, MACH_MSG_OOL_PORTS_DESCRIPTOR);
    EQUAL(message.ports.disposition, MACH_MSG_TYPE_PORT_SEND);
    EQUAL(message.ports.count, ARRAY_COUNT);
    EQUAL(message.ports.deallocate, 1);
    found = message.ports.address;
    EQUAL(memcmp(found, names, sizeof names), 0);
    WORKS(mach_port_get_refs(mach_task_self(), other, MACH_PORT_RIGHT_SEND, &references));
    EQUAL(references, before + ARRAY_COUNT - 1);
    /* All of it is released, memory and rights. */
    mach_msg_destroy(&message.base.header);
    WORKS(mach_port_get_refs(mach_task_self(), other, MACH_PORT_RIGHT_SEND, &references));
    EQUAL(references, before);
}

void case_interruption(const char *names[2], mach_msg_option_t option, mach_msg_return_t expected)
{
    mach_port_t port = new_port();
    received_t found;

    WORKS(bootstrap_register(bootstrap_port, names[0], mach_thread_self()));
    WORKS(bootstrap_register(bootstrap_port, names[1], port));
    EQUAL(mach_msg(&found.message.head, MACH_RCV_MSG | option, 0, sizeof found, port, 0, MACH_PORT_NULL), expected);
    if (expected == MACH_MSG_SUCCESS) {
        EQUAL(found.message.head.msgh_id, 50);
        EQUAL(found.message.words[0], 51);
    }
}
