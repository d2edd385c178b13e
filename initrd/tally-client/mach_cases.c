/* Other tasks, threads, semaphores, exceptions. */

#include "client.h"

/* Where the child's memory is looked at. */
#define HELLO "hello"

static task_t new_task(void)
{
    task_t child;

    WORKS(task_create(mach_task_self(), NULL, 0, FALSE, &child));
    return child;
}

void case_spaces(void)
{
    task_t child = new_task();
    vm_address_t address = 0, other = 0, mapped = 0;
    vm_size_t size;
    vm_offset_t data;
    mach_vm_size_t entry_size = PAGE_SIZE;
    mem_entry_name_port_t entry;
    mach_msg_type_number_t count;
    vm_prot_t current, maximum;
    vm_region_basic_info_data_64_t info;
    mach_port_t object;
    char text[8] = "";

    WORKS(vm_allocate(child, &address, 2 * PAGE_SIZE, VM_FLAGS_ANYWHERE));
    WORKS(vm_write(child, address + 3, (vm_offset_t)HELLO, sizeof HELLO));
    WORKS(vm_read(child, address + 3, sizeof HELLO, &data, &count));
    EQUAL(count, sizeof HELLO);
    EQUAL(memcmp((void *)data, HELLO, sizeof HELLO), 0);
    WORKS(vm_deallocate(mach_task_self(), data, count));
    WORKS(vm_copy(child, address, PAGE_SIZE, address + PAGE_SIZE));
    WORKS(mach_vm_read_overwrite(child, address + PAGE_SIZE + 3, sizeof text, (vm_address_t)text, &size));
    EQUAL(size, sizeof text);
    EQUAL(memcmp(text, HELLO, sizeof HELLO), 0);
    /* Shared by both, read-only for the child. */
    WORKS(mach_make_memory_entry_64(child, &entry_size, address, VM_PROT_DEFAULT, &entry, MACH_PORT_NULL));
    EQUAL(entry_size, PAGE_SIZE);
    WORKS(vm_map(mach_task_self(), &mapped, PAGE_SIZE, 0, VM_FLAGS_ANYWHERE, entry, 0, FALSE, VM_PROT_DEFAULT,
                 VM_PROT_DEFAULT, VM_INHERIT_NONE));
    *(char *)(mapped + 3) = 'j';
    WORKS(vm_read_overwrite(child, address + 3, 1, (vm_address_t)text, &size));
    EQUAL(text[0], 'j');
    WORKS(vm_remap(mach_task_self(), &other, PAGE_SIZE, 0, VM_FLAGS_ANYWHERE, child, address, TRUE, &current, &maximum,
                   VM_INHERIT_NONE));
    *(char *)(mapped + 3) = 'k';
    EQUAL(*(char *)(other + 3), 'j');
    WORKS(vm_protect(child, address, PAGE_SIZE, FALSE, VM_PROT_READ));
    EQUAL(vm_write(child, address, (vm_offset_t)HELLO, 1), KERN_PROTECTION_FAILURE);
    WORKS(vm_inherit(child, address, PAGE_SIZE, VM_INHERIT_SHARE));
    other = address;
    count = VM_REGION_BASIC_INFO_COUNT_64;
    WORKS(vm_region_64(child, &other, &size, VM_REGION_BASIC_INFO_64, (vm_region_info_t)&info, &count, &object));
    EQUAL(other, address);
    EQUAL(size, PAGE_SIZE);
    EQUAL(info.protection, VM_PROT_READ);
    EQUAL(info.inheritance, VM_INHERIT_SHARE);
    WORKS(vm_deallocate(child, address, 2 * PAGE_SIZE));
    EQUAL(vm_write(child, address, (vm_offset_t)HELLO, 1), KERN_INVALID_ADDRESS);
    EQUAL(vm_read(child, address, PAGE_SIZE, &data, &count), KERN_INVALID_ADDRESS);
    WORKS(task_terminate(child));
    EQUAL(vm_allocate(child, &address, PAGE_SIZE, VM_FLAGS_ANYWHERE), MACH_SEND_INVALID_DEST);
}

void case_tasks(void)
{
    task_t child = new_task();
    mach_port_t port = new_port(), found;
    mach_port_t few[2] = {port, port};
    mach_port_array_t list;
    mach_port_name_array_t names;
    mach_port_type_t *types;
    mach_msg_type_name_t moved;
    mach_msg_type_number_t count, type_count;
    thread_t thread;
    kernel_version_t version;
    vm_size_t page;

    EQUAL(task_resume(child), KERN_FAILURE);
    WORKS(task_suspend(child));
    WORKS(task_resume(child));
    WORKS(task_set_bootstrap_port(child, port));
    WORKS(task_get_bootstrap_port(child, &found));
    EQUAL(found, port);
    WORKS(task_get_special_port(child, TASK_KERNEL_PORT, &found));
    EQUAL(found, child);
    EQUAL(task_get_special_port(child, 99, &found), KERN_INVALID_ARGUMENT);
    WORKS(task_set_bootstrap_port(child, MACH_PORT_NULL));
    EQUAL(task_get_bootstrap_port(child, &found), KERN_FAILURE);
    WORKS(mach_ports_register(child, few, 2));
    WORKS(mach_ports_lookup(child, &list, &count));
    EQUAL(count, 2);
    EQUAL(list[1], port);
    WORKS(vm_deallocate(mach_task_self(), (vm_address_t)list, count * sizeof *list));
    EQUAL(mach_ports_register(child, few, TASK_PORT_REGISTER_MAX + 1), KERN_INVALID_ARGUMENT);
    /* Rights of its own. */
    WORKS(mach_port_insert_right(child, 0x1200, port, MACH_MSG_TYPE_MAKE_SEND));
    EQUAL(mach_port_insert_right(child, 0x1300, port, MACH_MSG_TYPE_COPY_SEND), KERN_RIGHT_EXISTS);
    WORKS(mach_port_allocate(child, MACH_PORT_RIGHT_RECEIVE, &found));
    WORKS(mach_port_names(child, &names, &count, &types, &type_count));
    EQUAL(count, 2);
    EQUAL(type_count, 2);
    EQUAL(types[names[0] != 0x1200], MACH_PORT_TYPE_SEND);
    WORKS(mach_port_extract_right(child, 0x1200, MACH_MSG_TYPE_MOVE_SEND, &found, &moved));
    EQUAL(found, port);
    EQUAL(moved, MACH_MSG_TYPE_MOVE_SEND);
    EQUAL(mach_port_extract_right(child, 0x1200, MACH_MSG_TYPE_COPY_SEND, &found, &moved), KERN_INVALID_NAME);
    EQUAL(mach_port_deallocate(child, names[0]), KERN_NOT_SUPPORTED);
    /* Threads. */
    WORKS(thread_create(child, &thread));
    WORKS(task_threads(child, &list, &count));
    EQUAL(count, 1);
    EQUAL(list[0], thread);
    WORKS(thread_terminate(thread));
    EQUAL(thread_resume(thread), MACH_SEND_INVALID_DEST);
    WORKS(task_terminate(child));
    EQUAL(task_suspend(child), MACH_SEND_INVALID_DEST);
    EQUAL(task_suspend(MACH_PORT_NULL), MACH_SEND_INVALID_DEST);
    WORKS(host_page_size(mach_host_self(), &page));
    EQUAL(page, PAGE_SIZE);
    WORKS(host_kernel_version(mach_host_self(), version));
    CHECK(strlen(version) > 0);
}

void case_semaphores(void)
{
    semaphore_t semaphore;
    mach_timespec_t soon = {.tv_nsec = 1000000};
    mach_timespec_t never = {.tv_nsec = 1000000000};

    WORKS(semaphore_create(mach_task_self(), &semaphore, SYNC_POLICY_FIFO, 1));
    WORKS(semaphore_wait(semaphore));
    EQUAL(semaphore_timedwait(semaphore, soon), KERN_OPERATION_TIMED_OUT);
    EQUAL(semaphore_timedwait(semaphore, never), KERN_INVALID_VALUE);
    WORKS(semaphore_signal(semaphore));
    WORKS(semaphore_timedwait(semaphore, soon));
    EQUAL(semaphore_signal_thread(semaphore, mach_thread_self()), KERN_NOT_WAITING);
    WORKS(semaphore_destroy(mach_task_self(), semaphore));
    CHECK(semaphore_wait(semaphore) != KERN_SUCCESS);
    EQUAL(semaphore_create(mach_task_self(), &semaphore, 7, 0), KERN_INVALID_ARGUMENT);
    WORKS(semaphore_create(mach_task_self(), &semaphore, SYNC_POLICY_FIXED_PRIORITY, 1));
    WORKS(semaphore_wait(semaphore));
    EQUAL(semaphore_timedwait(semaphore, soon), KERN_OPERATION_TIMED_OUT);
    WORKS(semaphore_destroy(mach_task_self(), semaphore));
}

/* What two threads have in common. */
typedef struct {
    semaphore_t ping, pong;
    volatile uint64_t turns;
    volatile uint64_t sum;
    mach_port_t reply;
} common_t;

static common_t new_common(void)
{
    common_t common = {.turns = 0};

    WORKS(semaphore_create(mach_task_self(), &common.ping, SYNC_POLICY_FIFO, 0));
    WORKS(semaphore_create(mach_task_self(), &common.pong, SYNC_POLICY_FIFO, 0));
    return common;
}

#define TURNS 50

/* Takes its turns, then calls a server, with a reply port of its own. */
static void partner(void *argument)
{
    common_t *common = argument;
    uint64_t sum;

    for (int i = 0; i < TURNS; i++) {
        WORKS(semaphore_wait(common->ping));
        common->turns++;
        WORKS(semaphore_signal(common->pong));
    }
    common->reply = mig_get_reply_port();
    EQUAL(mig_get_reply_port(), common->reply);
    WORKS(call(tally(), TALLY_ADD, 0, &sum));
    common->sum = sum;
    WORKS(semaphore_signal(common->pong));
}

/* What a thread of thread_create runs: the register that C takes its argument from is set with the others. */
static void raw(common_t *common)
{
    WORKS(mello_thread_attach());
    partner(common);
    thread_terminate(mach_thread_self());
}

static void counts(void *argument)
{
    common_t *common = argument;

    common->turns++;
}

/* Gives turns up until another thread had one. */
static void give_turns(void)
{
    common_t common = {.turns = 0};

    WORKS(mello_thread_start(counts, &common));
    while (common.turns == 0) {
        boolean_t others = swtch(), any = swtch_pri(0);
        CHECK((others == 0 || others == 1) && (any == 0 || any == 1));
    }
    EQUAL(common.turns, 1);
}

/* Gives way to all others until it is told that one of lower priority had turns. */
void case_depressed(void)
{
    mach_port_t found;

    do {
        WORKS(thread_switch(MACH_PORT_NULL, SWITCH_OPTION_DEPRESS, 0));
        EQUAL(thread_depress_abort(mach_thread_self()), KERN_NOT_DEPRESSED);
    } while (bootstrap_look_up(bootstrap_port, "depressed-done", &found) != KERN_SUCCESS);
}

static x86_thread_state64_t state_of(void (*function)(common_t *), common_t *common)
{
    vm_address_t stack = 0;

    WORKS(vm_allocate(mach_task_self(), &stack, 16 * PAGE_SIZE, VM_FLAGS_ANYWHERE));
    /* As behind a call. */
    return (x86_thread_state64_t){
        .rip = (uint64_t)function, .rdi = (uint64_t)common, .rsp = stack + 16 * PAGE_SIZE - 8};
}

static void take_turns(common_t *common)
{
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        WORKS(semaphore_wait_signal(common->pong, common->ping));
        EQUAL(common->turns, turn);
    }
    WORKS(semaphore_wait(common->pong));
    CHECK(common->reply != mig_get_reply_port());
}

/* Registers of a thread that never ran, by each flavor. */
static void flavors(thread_t thread)
{
    static const thread_state_flavor_t all[][2] = {
        {x86_THREAD_STATE64, x86_THREAD_STATE64_COUNT}, {x86_FLOAT_STATE64, x86_FLOAT_STATE64_COUNT},
        {x86_DEBUG_STATE64, x86_DEBUG_STATE64_COUNT}, {x86_AVX_STATE64, x86_AVX_STATE64_COUNT}};
    static natural_t words[x86_AVX_STATE64_COUNT + 1];
    x86_float_state64_t floats;
    x86_debug_state64_t debug = {.dr0 = 0x1000, .dr7 = 1};
    x86_avx_state64_t avx;
    mach_msg_type_number_t count;

    for (size_t n = 0; n < sizeof all / sizeof all[0]; n++) {
        const mach_msg_type_number_t right = (mach_msg_type_number_t)all[n][1];
        count = right - 1;
        EQUAL(thread_get_state(thread, all[n][0], words, &count), KERN_INVALID_ARGUMENT);
        EQUAL(count, right - 1);
        EQUAL(thread_set_state(thread, all[n][0], words, count), KERN_INVALID_ARGUMENT);
        count = right + 1;
        words[right] = 0x77;
        WORKS(thread_get_state(thread, all[n][0], words, &count));
        EQUAL(count, right);
        EQUAL(words[right], 0x77);
        WORKS(thread_set_state(thread, all[n][0], words, count));
    }
    count = x86_FLOAT_STATE64_COUNT;
    WORKS(thread_get_state(thread, x86_FLOAT_STATE64, (thread_state_t)&floats, &count));
    EQUAL(floats.fpu_fcw, 0x37f);
    EQUAL(floats.fpu_mxcsr, 0x1f80);
    memset(floats.fpu_xmm[15], 0x5a, sizeof floats.fpu_xmm[15]);
    WORKS(thread_set_state(thread, x86_FLOAT_STATE64, (thread_state_t)&floats, count));
    count = x86_AVX_STATE64_COUNT;
    WORKS(thread_get_state(thread, x86_AVX_STATE64, (thread_state_t)&avx, &count));
    EQUAL(memcmp(&avx.fpu, &floats, sizeof floats), 0);
    WORKS(thread_set_state(thread, x86_DEBUG_STATE64, (thread_state_t)&debug, x86_DEBUG_STATE64_COUNT));
    debug.dr0 = 0;
    count = x86_DEBUG_STATE64_COUNT;
    WORKS(thread_get_state(thread, x86_DEBUG_STATE64, (thread_state_t)&debug, &count));
    EQUAL(debug.dr0, 0x1000);
    debug.dr0 = (uint64_t)1 << 63;
    EQUAL(thread_set_state(thread, x86_DEBUG_STATE64, (thread_state_t)&debug, count), KERN_INVALID_ARGUMENT);
    debug = (x86_debug_state64_t){.dr0 = 0};
    WORKS(thread_set_state(thread, x86_DEBUG_STATE64, (thread_state_t)&debug, count));
}

void case_threads(void)
{
    common_t common = new_common();
    x86_thread_state64_t state = state_of(raw, &common);
    mach_msg_type_number_t count = x86_THREAD_STATE64_COUNT;
    thread_t thread;

    WORKS(mello_thread_start(partner, &common));
    take_turns(&common);
    common = new_common();
    WORKS(thread_create(mach_task_self(), &thread));
    EQUAL(thread_set_state(thread, 1, (thread_state_t)&state, count), KERN_INVALID_ARGUMENT);
    EQUAL(thread_set_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, count - 1), KERN_INVALID_ARGUMENT);
    /* Neither waits for anything. */
    WORKS(thread_abort_safely(thread));
    WORKS(thread_abort_safely(mach_thread_self()));
    flavors(thread);
    WORKS(thread_set_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, count));
    WORKS(thread_resume(thread));
    take_turns(&common);
    common = new_common();
    state = state_of(raw, &common);
    WORKS(thread_create_running(mach_task_self(), x86_THREAD_STATE64, (thread_state_t)&state, count, &thread));
    /* It waits for its turn: stopped, it has registers; interrupted, its wait would end. */
    WORKS(thread_suspend(thread));
    WORKS(thread_get_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, &count));
    EQUAL(count, x86_THREAD_STATE64_COUNT);
    CHECK(state.rip != 0 && state.rsp != 0);
    WORKS(thread_resume(thread));
    EQUAL(thread_resume(thread), KERN_FAILURE);
    take_turns(&common);
    give_turns();
}

/* An instruction that is none, and what the handler put into a register. */
static uint64_t undefined(void)
{
    uint64_t answer = 0;

    __asm__ volatile("ud2" : "+a"(answer));
    return answer;
}

static void raises(void *argument)
{
    common_t *common = argument;

    for (int i = 0; i < 2; i++) {
        WORKS(semaphore_wait(common->ping));
        common->sum += undefined();
        WORKS(semaphore_signal(common->pong));
    }
}

/* The answer to a request, of so many bytes. */
static void answer(const mach_msg_header_t *request, mach_msg_header_t *reply, mach_msg_size_t size)
{
    *reply = (mach_msg_header_t){
        .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0),
        .msgh_size = size,
        .msgh_remote_port = request->msgh_remote_port,
        .msgh_id = request->msgh_id + MACH_REPLY_OFFSET,
    };
    WORKS(mach_msg(reply, MACH_SEND_MSG, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

static void by_rights(mach_port_t handler)
{
    struct {
        mach_exception_raise_request_t request;
        mach_msg_max_trailer_t trailer;
    } found;
    mig_reply_error_t reply = {.NDR = NDR_record, .RetCode = KERN_SUCCESS};
    x86_thread_state64_t state;
    mach_msg_type_number_t count = x86_THREAD_STATE64_COUNT;

    WORKS(mach_msg(&found.request.Head, MACH_RCV_MSG, 0, sizeof found, handler, 0, MACH_PORT_NULL));
    EQUAL(found.request.Head.msgh_id, MACH_EXCEPTION_RAISE);
    EQUAL(found.request.Head.msgh_size, sizeof found.request);
    EQUAL(found.request.exception, EXC_BAD_INSTRUCTION);
    EQUAL(found.request.codeCnt, 2);
    EQUAL(found.request.task.name, mach_task_self());
    WORKS(thread_get_state(found.request.thread.name, x86_THREAD_STATE64, (thread_state_t)&state, &count));
    state.rip += 2;
    state.rax = 1;
    WORKS(thread_set_state(found.request.thread.name, x86_THREAD_STATE64, (thread_state_t)&state, count));
    answer(&found.request.Head, &reply.Head, sizeof reply);
}

static void by_registers(mach_port_t handler)
{
    struct {
        mach_exception_raise_state_identity_request_t request;
        mach_msg_max_trailer_t trailer;
    } found;
    mach_exception_raise_state_reply_t reply;

    WORKS(mach_msg(&found.request.Head, MACH_RCV_MSG, 0, sizeof found, handler, 0, MACH_PORT_NULL));
    EQUAL(found.request.Head.msgh_id, MACH_EXCEPTION_RAISE_STATE_IDENTITY);
    EQUAL(found.request.Head.msgh_size, sizeof found.request);
    EQUAL(found.request.what.exception, EXC_BAD_INSTRUCTION);
    EQUAL(found.request.what.flavor, x86_THREAD_STATE64);
    reply.state = found.request.what.state;
    reply.state.rip += 2;
    reply.state.rax = 10;
    answer(&found.request.Head, &reply.Head, sizeof reply);
}

void case_exceptions(void)
{
    common_t common = new_common();
    task_t task = mach_task_self();
    mach_port_t handler = new_port();
    exception_mask_t mask = EXC_MASK(EXC_BAD_INSTRUCTION), masks[EXC_TYPES_COUNT];
    mach_port_t ports[EXC_TYPES_COUNT];
    exception_behavior_t behaviors[EXC_TYPES_COUNT];
    thread_state_flavor_t flavors[EXC_TYPES_COUNT];
    mach_msg_type_number_t count = EXC_TYPES_COUNT;
    exception_behavior_t identity = EXCEPTION_STATE_IDENTITY | MACH_EXCEPTION_CODES;

    WORKS(task_set_exception_ports(task, mask, handler, EXCEPTION_DEFAULT | MACH_EXCEPTION_CODES, THREAD_STATE_NONE));
    EQUAL(task_set_exception_ports(task, mask, handler, 77, THREAD_STATE_NONE), KERN_INVALID_ARGUMENT);
    /* The host's are behind its privileged port alone. */
    EQUAL(host_set_exception_ports(mach_host_self(), mask, handler, EXCEPTION_DEFAULT, THREAD_STATE_NONE), MIG_BAD_ID);
    WORKS(mello_thread_start(raises, &common));
    WORKS(semaphore_signal(common.ping));
    by_rights(handler);
    WORKS(semaphore_wait(common.pong));
    EQUAL(common.sum, 1);
    WORKS(task_swap_exception_ports(task, mask, handler, identity, x86_THREAD_STATE64, masks, &count, ports, behaviors,
                                    flavors));
    EQUAL(count, 1);
    EQUAL(masks[0], mask);
    EQUAL(ports[0], handler);
    EQUAL(behaviors[0], EXCEPTION_DEFAULT | MACH_EXCEPTION_CODES);
    WORKS(semaphore_signal(common.ping));
    by_registers(handler);
    WORKS(semaphore_wait(common.pong));
    EQUAL(common.sum, 11);
    count = EXC_TYPES_COUNT;
    WORKS(task_get_exception_ports(task, mask, masks, &count, ports, behaviors, flavors));
    EQUAL(count, 1);
    EQUAL(flavors[0], x86_THREAD_STATE64);
    WORKS(task_set_exception_ports(task, mask, MACH_PORT_NULL, 0, THREAD_STATE_NONE));
    count = EXC_TYPES_COUNT;
    WORKS(task_get_exception_ports(task, mask, masks, &count, ports, behaviors, flavors));
    EQUAL(count, 0);
}
