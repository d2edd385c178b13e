/* Rights, and what is known of a port. */
#ifndef MACH_PORT_H
#define MACH_PORT_H

#include <mach/types.h>

typedef natural_t mach_port_right_t;
typedef natural_t mach_port_type_t;
typedef natural_t mach_port_urefs_t;
typedef integer_t mach_port_delta_t;
typedef natural_t mach_port_seqno_t;
typedef natural_t mach_port_mscount_t;
typedef natural_t mach_port_msgcount_t;
typedef natural_t mach_port_rights_t;
typedef uint64_t mach_port_context_t;
typedef int mach_port_flavor_t;
typedef integer_t *mach_port_info_t;

#define MACH_PORT_TYPE_NONE 0
#define MACH_PORT_TYPE_SEND_RECEIVE (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_SEND_RIGHTS (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_RIGHTS (MACH_PORT_TYPE_SEND_RIGHTS | MACH_PORT_TYPE_RECEIVE)

typedef struct {
    mach_port_msgcount_t mpl_qlimit;
} mach_port_limits_t;

typedef struct {
    mach_port_rights_t mps_pset;
    mach_port_seqno_t mps_seqno;
    mach_port_mscount_t mps_mscount;
    mach_port_msgcount_t mps_qlimit;
    mach_port_msgcount_t mps_msgcount;
    mach_port_rights_t mps_sorights;
    boolean_t mps_srights;
    boolean_t mps_pdrequest;
    boolean_t mps_nsrequest;
    natural_t mps_flags;
} mach_port_status_t;

_Static_assert(sizeof(mach_port_limits_t) == 4 * MACH_PORT_LIMITS_INFO_COUNT, "mach_port_limits_t");
_Static_assert(sizeof(mach_port_status_t) == 4 * MACH_PORT_RECEIVE_STATUS_COUNT, "mach_port_status_t");

#endif
