/* Calls to the server in C. */

#include "client.h"

/* libmach/interfaces/src/tally.rs: DIGESTED */
#define DIGESTED 4690

void case_calls(void)
{
    mach_port_t server = tally();
    uint64_t before, after;

    WORKS(call(server, TALLY_VALUE, 0, &before));
    WORKS(call(server, TALLY_ADD, 5, &after));
    EQUAL(after, before + 5);
    EQUAL(call(server, TALLY_ADD, UINT64_MAX, &after), KERN_INVALID_ARGUMENT);
    /* An id that it does not know: a whole error reply, which common.c checks. */
    EQUAL(call(server, TALLY_VALUE - 1, 0, &after), MIG_BAD_ID);
    WORKS(call(server, TALLY_VALUE, 0, &after));
    EQUAL(after, before + 5);
}

void case_others(void)
{
    mach_port_t echo;
    uint64_t result = 0;
    mach_port_type_t type;

    /* A server in Rust. */
    WORKS(bootstrap_look_up(bootstrap_port, ECHO_SERVICE, &echo));
    WORKS(call(echo, ECHO_ECHO, 0x123456789, &result));
    EQUAL(result, 0x123456789);
    EQUAL(call(echo, ECHO_ECHO - 1, 0, &result), MIG_BAD_ID);
    /* The kernel. */
    WORKS(call(mach_task_self(), TASK_PORT_ALLOCATE, MACH_PORT_RIGHT_RECEIVE, &result));
    WORKS(mach_port_type(mach_task_self(), (mach_port_t)result, &type));
    EQUAL(type, MACH_PORT_TYPE_RECEIVE);
    EQUAL(call(mach_task_self(), TASK_PORT_ALLOCATE, MACH_PORT_RIGHT_NUMBER, &result), KERN_INVALID_VALUE);
}

#pragma pack(push, 4)
typedef struct {
    mach_msg_base_t base;
    mach_msg_ool_descriptor_t data;
    mach_msg_port_descriptor_t to;
} digest_t;
#pragma pack(pop)

/* One call; the sum must come back both ways. */
static void digest(mach_port_t server, unsigned char *bytes, mach_msg_size_t size, boolean_t deallocate)
{
    mach_port_t told = new_port();
    mach_port_t reply = mig_get_reply_port();
    received_t found;
    mach_port_urefs_t refs;
    uint64_t expected = 0;
    digest_t request = {
        .base.header =
            {
                .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE) |
                             MACH_MSGH_BITS_COMPLEX,
                .msgh_size = sizeof request,
                .msgh_remote_port = server,
                .msgh_local_port = reply,
                .msgh_id = TALLY_DIGEST,
            },
        .base.body.msgh_descriptor_count = 2,
        .data = {.address = bytes,
                 .size = size,
                 .deallocate = deallocate,
                 .copy = MACH_MSG_VIRTUAL_COPY,
                 .type = MACH_MSG_OOL_DESCRIPTOR},
        .to = {.name = told, .disposition = MACH_MSG_TYPE_MOVE_SEND, .type = MACH_MSG_PORT_DESCRIPTOR},
    };

    for (mach_msg_size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 7);
        expected += bytes[i];
    }
    WORKS(mach_msg_overwrite(&request.base.header, MACH_SEND_MSG | MACH_RCV_MSG, sizeof request, sizeof found, reply,
                             0, MACH_PORT_NULL, &found.message.head, 0));
    EQUAL(found.message.head.msgh_id, TALLY_DIGEST + MACH_REPLY_OFFSET);
    EQUAL(found.message.words[0], KERN_SUCCESS);
    EQUAL(found.message.words[1], expected);
    /* The answer has a buffer of its own: the request is as it was. */
    EQUAL(request.base.header.msgh_id, TALLY_DIGEST);
    EQUAL(request.base.header.msgh_size, sizeof request);
    EQUAL(request.base.header.msgh_remote_port, server);
    EQUAL(request.base.body.msgh_descriptor_count, 2);
    EQUAL(request.data.size, size);
    EQUAL(request.to.name, told);
    /* The server told the port before it answered, and the send right left with the request. */
    WORKS(poll(told, &found, sizeof found));
    EQUAL(found.message.head.msgh_id, DIGESTED);
    EQUAL(found.message.words[0], expected);
    WORKS(mach_port_get_refs(mach_task_self(), told, MACH_PORT_RIGHT_SEND, &refs));
    EQUAL(refs, 0);
    WORKS(mach_port_mod_refs(mach_task_self(), told, MACH_PORT_RIGHT_RECEIVE, -1));
}

void case_digest(void)
{
    mach_port_t server = tally();
    vm_address_t memory = 0;

    WORKS(vm_allocate(mach_task_self(), &memory, 4 * PAGE_SIZE, VM_FLAGS_ANYWHERE));
    /* Begins and ends within pages. */
    digest(server, (unsigned char *)memory + 100, 2 * PAGE_SIZE + 50, FALSE);
    digest(server, (unsigned char *)memory, 4 * PAGE_SIZE, TRUE);
    /* It left with the message. */
    EQUAL(vm_protect(mach_task_self(), memory, PAGE_SIZE, FALSE, VM_PROT_READ), KERN_INVALID_ADDRESS);
    /* A request of another shape: the code comes back, and nothing is left. */
    uint64_t result;
    EQUAL(call(server, TALLY_DIGEST, 0, &result), MIG_BAD_ARGUMENTS);
}

void case_death(void)
{
    mach_port_t server = tally();
    uint64_t value;

    WORKS(call(server, TALLY_ADD, 1, &value));
    CHECK(value > 0);
    EQUAL(call(server, TALLY_DIE, 0, &value), MIG_SERVER_DIED);
    /* The next one waits on the same port for the next instance. */
    WORKS(call(server, TALLY_VALUE, 0, &value));
    EQUAL(value, 0);
}
