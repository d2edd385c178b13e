/* What MIG's stubs answer with when there is no result. */
#ifndef MACH_MIG_ERRORS_H
#define MACH_MIG_ERRORS_H

#include <mach/message.h>
#include <mach/ndr.h>

#pragma pack(push, 4)
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    kern_return_t RetCode;
} mig_reply_error_t;
#pragma pack(pop)

_Static_assert(sizeof(mig_reply_error_t) == MACH_MSG_HEADER_SIZE + 12, "mig_reply_error_t");

#endif
