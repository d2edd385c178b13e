/* Messages of words, and calls as MIG's stubs make them. */

#include "client.h"

mach_port_t new_port(void)
{
    mach_port_t port;

    WORKS(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
    WORKS(mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
    return port;
}

mach_port_t tally(void)
{
    mach_port_t server;

    WORKS(bootstrap_look_up(bootstrap_port, TALLY_SERVICE, &server));
    return server;
}

mach_msg_words_t words_to(mach_port_t to, mach_msg_type_name_t how, mach_msg_id_t id)
{
    return (mach_msg_words_t){
        .head =
            {
                .msgh_bits = MACH_MSGH_BITS(how, 0),
                .msgh_size = sizeof(mach_msg_words_t),
                .msgh_remote_port = to,
                .msgh_id = id,
            },
    };
}

void send_words(mach_port_t to, mach_msg_id_t id, uint64_t word)
{
    mach_msg_words_t message = words_to(to, MACH_MSG_TYPE_COPY_SEND, id);

    message.words[0] = word;
    WORKS(mach_msg(&message.head, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

mach_msg_return_t poll(mach_port_t port, void *buffer, mach_msg_size_t size)
{
    return mach_msg(buffer, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, size, port, 0, MACH_PORT_NULL);
}

kern_return_t call(mach_port_t server, mach_msg_id_t id, uint64_t argument, uint64_t *result)
{
    union {
        received_t words;
        mig_reply_error_t error;
    } buffer = {.words.message = words_to(server, MACH_MSG_TYPE_COPY_SEND, id)};
    mach_msg_header_t *head = &buffer.words.message.head;
    mach_port_t reply = mig_get_reply_port();
    mach_msg_return_t code;

    buffer.words.message.words[0] = argument;
    head->msgh_bits |= MACH_MSGH_BITS(0, MACH_MSG_TYPE_MAKE_SEND_ONCE);
    head->msgh_local_port = reply;
    code = mach_msg(head, MACH_SEND_MSG | MACH_RCV_MSG, head->msgh_size, sizeof buffer, reply, 0, MACH_PORT_NULL);
    if (code != MACH_MSG_SUCCESS) {
        mig_dealloc_reply_port(reply);
        return code;
    }
    EQUAL(head->msgh_local_port, reply);
    EQUAL(head->msgh_remote_port, MACH_PORT_NULL);
    if (head->msgh_id == MACH_NOTIFY_SEND_ONCE) {
        EQUAL(head->msgh_size, sizeof(mach_send_once_notification_t));
        return MIG_SERVER_DIED;
    }
    if (head->msgh_id != id + MACH_REPLY_OFFSET) {
        mach_msg_destroy(head);
        return MIG_REPLY_MISMATCH;
    }
    if (head->msgh_size == sizeof(mig_reply_error_t)) {
        EQUAL(memcmp(&buffer.error.NDR, &NDR_record, sizeof NDR_record), 0);
        return buffer.error.RetCode;
    }
    EQUAL(head->msgh_size, sizeof(mach_msg_words_t));
    *result = buffer.words.message.words[1];
    return (kern_return_t)buffer.words.message.words[0];
}
