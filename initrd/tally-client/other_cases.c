/* Start, ports, memory, names. */

#include "client.h"

void case_start(int argc, char **argv, char **environment)
{
    EQUAL(argc, 4);
    EQUAL(memcmp(argv[0], "tally-client", 13), 0);
    EQUAL(memcmp(argv[2], "two words", 10), 0);
    EQUAL(memcmp(argv[3], "three", 6), 0);
    CHECK(argv[4] == NULL);
    CHECK(environment != NULL);
    for (char **pair = environment; *pair != NULL; pair++) {
        CHECK(strlen(*pair) > 0);
    }
    CHECK(MACH_PORT_VALID(bootstrap_port));
    CHECK(MACH_PORT_VALID(mello_right("tally")));
    EQUAL(mello_right("no-such-right"), MACH_PORT_NULL);
    EQUAL(mach_task_self(), mach_task_self());
    CHECK(MACH_PORT_VALID(mach_thread_self()));
    CHECK(MACH_PORT_VALID(mach_host_self()));
}

void case_ports(void)
{
    mach_port_t task = mach_task_self();
    mach_port_t port = new_port();
    mach_port_t set;
    mach_port_type_t type;
    mach_port_urefs_t refs;
    mach_port_status_t status;
    natural_t count = MACH_PORT_RECEIVE_STATUS_COUNT;
    mach_port_context_t context;
    received_t found;

    WORKS(mach_port_mod_refs(task, port, MACH_PORT_RIGHT_SEND, 2));
    WORKS(mach_port_get_refs(task, port, MACH_PORT_RIGHT_SEND, &refs));
    EQUAL(refs, 3);
    WORKS(mach_port_deallocate(task, port));
    WORKS(mach_port_get_refs(task, port, MACH_PORT_RIGHT_SEND, &refs));
    EQUAL(refs, 2);
    WORKS(mach_port_type(task, port, &type));
    EQUAL(type, MACH_PORT_TYPE_SEND_RECEIVE);
    EQUAL(mach_port_mod_refs(task, port, MACH_PORT_RIGHT_SEND, -3), KERN_INVALID_VALUE);
    EQUAL(mach_port_mod_refs(task, port, MACH_PORT_RIGHT_NUMBER, 1), KERN_INVALID_VALUE);
    WORKS(mach_port_set_context(task, port, 77));
    WORKS(mach_port_get_context(task, port, &context));
    EQUAL(context, 77);
    WORKS(mach_port_set_mscount(task, port, 9));
    WORKS(mach_port_allocate(task, MACH_PORT_RIGHT_PORT_SET, &set));
    EQUAL(mach_port_extract_member(task, port, set), KERN_NOT_IN_SET);
    WORKS(mach_port_insert_member(task, port, set));
    EQUAL(mach_port_insert_member(task, port, set), KERN_ALREADY_IN_SET);
    send_words(port, 60, 0);
    WORKS(mach_port_get_attributes(task, port, MACH_PORT_RECEIVE_STATUS, (mach_port_info_t)&status, &count));
    EQUAL(count, MACH_PORT_RECEIVE_STATUS_COUNT);
    EQUAL(status.mps_pset, 1);
    EQUAL(status.mps_mscount, 9);
    EQUAL(status.mps_qlimit, MACH_PORT_QLIMIT_DEFAULT);
    EQUAL(status.mps_msgcount, 1);
    EQUAL(status.mps_srights, TRUE);
    count = 1;
    EQUAL(mach_port_get_attributes(task, port, MACH_PORT_RECEIVE_STATUS, (mach_port_info_t)&status, &count),
          KERN_FAILURE);
    /* By the set, with the member's name. */
    WORKS(poll(set, &found, sizeof found));
    EQUAL(found.message.head.msgh_local_port, port);
    WORKS(mach_port_move_member(task, port, MACH_PORT_NULL));
    EQUAL(poll(set, &found, sizeof found), MACH_RCV_TIMED_OUT);
    WORKS(mach_port_destroy(task, port));
    EQUAL(mach_port_type(task, port, &type), KERN_INVALID_NAME);
    EQUAL(mach_port_allocate(MACH_PORT_NULL, MACH_PORT_RIGHT_RECEIVE, &port), MACH_SEND_INVALID_DEST);
    /* What is no task answers that it knows no such call. */
    EQUAL(mach_port_allocate(bootstrap_port, MACH_PORT_RIGHT_RECEIVE, &port), MIG_BAD_ID);
}

void case_notifications(void)
{
    mach_port_t task = mach_task_self();
    mach_port_t notify = new_port();
    mach_port_t port = new_port();
    mach_port_t other, previous;
    union {
        mach_msg_header_t head;
        mach_dead_name_notification_t dead;
        mach_no_senders_notification_t none;
        mach_port_destroyed_notification_t destroyed;
        received_t any;
    } found;

    WORKS(mach_port_request_notification(task, port, MACH_NOTIFY_NO_SENDERS, 1, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE,
                                         &previous));
    EQUAL(previous, MACH_PORT_NULL);
    WORKS(mach_port_deallocate(task, port));
    WORKS(poll(notify, &found, sizeof found));
    EQUAL(found.head.msgh_id, MACH_NOTIFY_NO_SENDERS);
    EQUAL(found.head.msgh_size, sizeof found.none);
    EQUAL(found.none.not_count, 1);
    EQUAL(found.none.NDR.int_rep, NDR_INT_LITTLE_ENDIAN);
    /* The receive right is mailed when it is destroyed. */
    WORKS(mach_port_request_notification(task, port, MACH_NOTIFY_PORT_DESTROYED, 0, notify,
                                         MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    WORKS(mach_port_mod_refs(task, port, MACH_PORT_RIGHT_RECEIVE, -1));
    WORKS(poll(notify, &found, sizeof found));
    EQUAL(found.head.msgh_id, MACH_NOTIFY_PORT_DESTROYED);
    EQUAL(found.head.msgh_size, sizeof found.destroyed);
    EQUAL(found.destroyed.not_port.disposition, MACH_MSG_TYPE_PORT_RECEIVE);
    other = found.destroyed.not_port.name;
    /* A send right becomes a dead name. */
    WORKS(mach_port_insert_right(task, other, other, MACH_MSG_TYPE_MAKE_SEND));
    WORKS(mach_port_request_notification(task, other, MACH_NOTIFY_DEAD_NAME, 0, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE,
                                         &previous));
    WORKS(mach_port_mod_refs(task, other, MACH_PORT_RIGHT_RECEIVE, -1));
    WORKS(poll(notify, &found, sizeof found));
    EQUAL(found.head.msgh_id, MACH_NOTIFY_DEAD_NAME);
    EQUAL(found.head.msgh_size, sizeof found.dead);
    EQUAL(found.dead.not_port, other);
}

void case_memory(void)
{
    vm_map_t task = mach_task_self();
    vm_address_t address = 12345;
    vm_address_t mapped = 0;
    unsigned char *bytes;

    WORKS(vm_allocate(task, &address, 2 * PAGE_SIZE, VM_FLAGS_ANYWHERE));
    EQUAL(address % PAGE_SIZE, 0);
    bytes = (unsigned char *)address;
    EQUAL(bytes[0] + bytes[2 * PAGE_SIZE - 1], 0);
    memset(bytes, 1, 2 * PAGE_SIZE);
    EQUAL(mach_vm_allocate(task, &address, PAGE_SIZE, VM_FLAGS_FIXED), KERN_NO_SPACE);
    WORKS(vm_protect(task, address, PAGE_SIZE, FALSE, VM_PROT_READ));
    EQUAL(bytes[0], 1);
    WORKS(vm_protect(task, address, PAGE_SIZE, TRUE, VM_PROT_READ));
    EQUAL(mach_vm_protect(task, address, PAGE_SIZE, FALSE, VM_PROT_DEFAULT), KERN_PROTECTION_FAILURE);
    WORKS(mach_vm_deallocate(task, address, 2 * PAGE_SIZE));
    WORKS(vm_map(task, &mapped, PAGE_SIZE, 0, VM_FLAGS_ANYWHERE, MACH_PORT_NULL, 0, FALSE, VM_PROT_DEFAULT,
                 VM_PROT_DEFAULT, VM_INHERIT_NONE));
    *(unsigned char *)mapped = 7;
    EQUAL(*(unsigned char *)mapped, 7);
    WORKS(vm_deallocate(task, mapped, PAGE_SIZE));
    WORKS(mach_vm_map(task, &mapped, PAGE_SIZE, 0xfffff, VM_FLAGS_ANYWHERE, MACH_PORT_NULL, 0, FALSE, VM_PROT_DEFAULT,
                      VM_PROT_DEFAULT, VM_INHERIT_NONE));
    EQUAL(mapped & 0xfffff, 0);
    WORKS(vm_deallocate(task, mapped, PAGE_SIZE));
    EQUAL(vm_allocate(MACH_PORT_NULL, &address, PAGE_SIZE, VM_FLAGS_ANYWHERE), MACH_SEND_INVALID_DEST);
}

/* Several names by one call: known, unknown, too long, too many. */
static void many_names(mach_port_t port)
{
    static name_t names[BOOTSTRAP_MAX_LOOKUP_COUNT + 1] = {
        "org.mello.tally-client.names", "org.mello.no-such-service", TALLY_SERVICE};
    const mach_msg_type_number_t most = BOOTSTRAP_MAX_LOOKUP_COUNT;
    mach_port_array_t ports = NULL;
    mach_msg_type_number_t count = 99;
    mach_port_urefs_t before, after;
    boolean_t all = 2;

    WORKS(mach_port_get_refs(mach_task_self(), port, MACH_PORT_RIGHT_SEND, &before));
    EQUAL(bootstrap_look_up_array(bootstrap_port, names, most + 1, &ports, &count, &all), BOOTSTRAP_BAD_COUNT);
    CHECK(ports == NULL && count == 99 && all == 2);
    WORKS(bootstrap_look_up_array(bootstrap_port, names, 3, &ports, &count, &all));
    EQUAL(count, 3);
    EQUAL(all, 0);
    EQUAL(ports[0], port);
    EQUAL(ports[1], MACH_PORT_NULL);
    CHECK(MACH_PORT_VALID(ports[2]));
    WORKS(mach_port_deallocate(mach_task_self(), ports[2]));
    WORKS(vm_deallocate(mach_task_self(), (vm_address_t)ports, 3 * sizeof *ports));
    WORKS(mach_port_deallocate(mach_task_self(), port));
    /* What was found ends with the failure. */
    memset(names[1], 'x', sizeof names[1]);
    EQUAL(bootstrap_look_up_array(bootstrap_port, names, 2, &ports, &count, &all), KERN_INVALID_ARGUMENT);
    for (mach_msg_type_number_t n = 0; n < most; n++) {
        memcpy(names[n], names[0], sizeof names[0]);
    }
    WORKS(bootstrap_look_up_array(bootstrap_port, names, most, &ports, &count, &all));
    EQUAL(count, most);
    EQUAL(all, 1);
    EQUAL(ports[most - 1], port);
    WORKS(vm_deallocate(mach_task_self(), (vm_address_t)ports, most * sizeof *ports));
    WORKS(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_SEND, -(mach_port_delta_t)most));
    WORKS(bootstrap_look_up_array(bootstrap_port, names, 0, &ports, &count, &all));
    EQUAL(count, 0);
    EQUAL(all, 1);
    WORKS(mach_port_get_refs(mach_task_self(), port, MACH_PORT_RIGHT_SEND, &after));
    EQUAL(after, before);
}

void case_names(void)
{
    mach_port_t port = new_port();
    mach_port_t found;
    char name[BOOTSTRAP_MAX_NAME_LEN + 1];

    WORKS(task_get_bootstrap_port(mach_task_self(), &found));
    EQUAL(found, bootstrap_port);
    EQUAL(bootstrap_look_up(bootstrap_port, "org.mello.no-such-service", &found), BOOTSTRAP_UNKNOWN_SERVICE);
    EQUAL(bootstrap_check_in(bootstrap_port, TALLY_SERVICE, &found), BOOTSTRAP_NOT_PRIVILEGED);
    EQUAL(bootstrap_register(bootstrap_port, TALLY_SERVICE, port), BOOTSTRAP_NAME_IN_USE);
    WORKS(bootstrap_register(bootstrap_port, "org.mello.tally-client.names", port));
    WORKS(bootstrap_look_up(bootstrap_port, "org.mello.tally-client.names", &found));
    /* The same port has the same name. */
    EQUAL(found, port);
    memset(name, 'x', sizeof name);
    name[BOOTSTRAP_MAX_NAME_LEN] = 0;
    EQUAL(bootstrap_look_up(bootstrap_port, name, &found), KERN_INVALID_ARGUMENT);
    name[BOOTSTRAP_MAX_NAME_LEN - 1] = 0;
    EQUAL(bootstrap_look_up(bootstrap_port, name, &found), BOOTSTRAP_UNKNOWN_SERVICE);
    EQUAL(memcmp(bootstrap_strerror(BOOTSTRAP_UNKNOWN_SERVICE), "BOOTSTRAP_UNKNOWN_SERVICE", 26), 0);
    many_names(port);
}

/* Services of this task alone: found by who names it. */
static void own_services(mach_port_t port)
{
    static const char name[] = "org.mello.tally-client.own";
    const uint64_t own = BOOTSTRAP_PER_PID_SERVICE;
    security_token_t token;
    mach_msg_type_number_t count = TASK_SECURITY_TOKEN_COUNT;
    mach_port_t made, found;

    WORKS(task_info(mach_task_self(), TASK_SECURITY_TOKEN, (task_info_t)&token, &count));
    uint64_t me = token.val[0] | (uint64_t)token.val[1] << 32;
    WORKS(bootstrap_check_in2(bootstrap_port, name, &made, own));
    EQUAL(bootstrap_check_in2(bootstrap_port, name, &found, own), BOOTSTRAP_SERVICE_ACTIVE);
    EQUAL(bootstrap_register2(bootstrap_port, name, port, own), BOOTSTRAP_NAME_IN_USE);
    WORKS(bootstrap_look_up2(bootstrap_port, name, &found, me, own));
    EQUAL(found, made);
    EQUAL(bootstrap_look_up2(bootstrap_port, name, &found, me + 1, own), BOOTSTRAP_UNKNOWN_SERVICE);
    EQUAL(bootstrap_look_up2(bootstrap_port, name, &found, me, 0), BOOTSTRAP_UNKNOWN_SERVICE);
    EQUAL(bootstrap_look_up2(bootstrap_port, name, &found, me, 2), KERN_INVALID_ARGUMENT);
    WORKS(mach_port_destroy(mach_task_self(), made));
}

void case_subsets(void)
{
    static const char inner[] = "org.mello.tally-client.inner";
    mach_port_t port = new_port();
    mach_port_t requestor = new_port();
    mach_port_t subset, weak, found;
    kern_return_t code;

    WORKS(bootstrap_subset(bootstrap_port, requestor, &subset));
    WORKS(bootstrap_register(subset, inner, port));
    WORKS(bootstrap_look_up(subset, inner, &found));
    EQUAL(found, port);
    EQUAL(bootstrap_look_up(bootstrap_port, inner, &found), BOOTSTRAP_UNKNOWN_SERVICE);
    WORKS(bootstrap_look_up(subset, TALLY_SERVICE, &found));
    EQUAL(bootstrap_parent(subset, &found), BOOTSTRAP_NOT_PRIVILEGED);
    WORKS(bootstrap_unprivileged(subset, &weak));
    WORKS(bootstrap_look_up(weak, inner, &found));
    EQUAL(bootstrap_register(weak, "org.mello.tally-client.weak", port), BOOTSTRAP_NOT_PRIVILEGED);
    own_services(port);
    /* It ends with its requestor, not by losing its names only. */
    WORKS(mach_port_destroy(mach_task_self(), requestor));
    do {
        code = bootstrap_look_up(subset, inner, &found);
    } while (code == KERN_SUCCESS);
    CHECK(code != BOOTSTRAP_UNKNOWN_SERVICE);
}
