/* The example server in C: keeps a sum, adds up memory, dies when asked to.
 *
 * Its interface is libmach/interfaces/src/tally.rs: requests and replies of six words, as Rust programs send
 * them. A request to digest has no words, but memory and a port. */

#include <mach/mach.h>
#include <mello/mello.h>
#include <servers/bootstrap.h>

/* libmach/interfaces/src/tally.rs: DIGESTED */
#define DIGESTED 4690

#pragma pack(push, 4)
typedef struct {
    mach_msg_base_t base;
    mach_msg_ool_descriptor_t data;
    mach_msg_port_descriptor_t to;
} digest_request_t;
#pragma pack(pop)

static uint64_t sum;

/* A message of words. */
static mach_msg_words_t words(mach_msg_bits_t bits, mach_port_t to, mach_msg_id_t id)
{
    return (mach_msg_words_t){
        .head = {.msgh_bits = bits, .msgh_size = sizeof(mach_msg_words_t), .msgh_remote_port = to, .msgh_id = id},
    };
}

static kern_return_t add(const mach_msg_words_t *request)
{
    uint64_t n = request->words[0];

    if (request->head.msgh_size != sizeof *request) {
        return MIG_BAD_ARGUMENTS;
    }
    if (n > UINT64_MAX - sum) {
        return KERN_INVALID_ARGUMENT;
    }
    sum += n;
    return KERN_SUCCESS;
}

/* On success the request's memory and right are taken; else the library releases them. */
static kern_return_t digest(const digest_request_t *request, uint64_t *total)
{
    const unsigned char *bytes = request->data.address;
    mach_msg_words_t told = words(MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, 0), request->to.name, DIGESTED);
    vm_address_t start = (vm_address_t)bytes & ~(vm_address_t)(PAGE_SIZE - 1);
    kern_return_t code;

    if (!MACH_MSGH_BITS_IS_COMPLEX(request->base.header.msgh_bits) ||
        request->base.body.msgh_descriptor_count != 2 || request->data.type != MACH_MSG_OOL_DESCRIPTOR ||
        request->to.type != MACH_MSG_PORT_DESCRIPTOR || request->to.disposition != MACH_MSG_TYPE_PORT_SEND) {
        return MIG_BAD_ARGUMENTS;
    }
    for (mach_msg_size_t i = 0; i < request->data.size; i++) {
        *total += bytes[i];
    }
    told.words[0] = *total;
    code = mach_msg(&told.head, MACH_SEND_MSG, sizeof told, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
    if (code == KERN_SUCCESS && request->data.size > 0) {
        vm_deallocate(mach_task_self(), start, (vm_address_t)bytes + request->data.size - start);
    }
    return code;
}

static boolean_t serve(mach_msg_header_t *request, mach_msg_header_t *head)
{
    mach_msg_words_t *reply = (mach_msg_words_t *)head;
    uint64_t result = 0;
    kern_return_t code = KERN_SUCCESS;

    switch (request->msgh_id) {
    case TALLY_VALUE:
        result = sum;
        break;
    case TALLY_ADD:
        code = add((const mach_msg_words_t *)request);
        result = sum;
        break;
    case TALLY_DIGEST:
        code = digest((const digest_request_t *)request, &result);
        break;
    case TALLY_DIE:
        abort();
    default:
        return FALSE;
    }
    *reply = words(MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(request->msgh_bits), 0), request->msgh_remote_port,
                   request->msgh_id + MACH_REPLY_OFFSET);
    reply->words[0] = (uint32_t)code;
    reply->words[1] = result;
    return TRUE;
}

int main(void)
{
    mach_port_t port;

    if (bootstrap_check_in(bootstrap_port, TALLY_SERVICE, &port) != KERN_SUCCESS) {
        return 1;
    }
    /* It ends when the port does. */
    mach_msg_server(serve, 4096, port, MACH_MSG_OPTION_NONE);
    return 1;
}
