/* NDR_record_t: how a message's data is represented. Integers are little-endian here. */
#ifndef MACH_NDR_H
#define MACH_NDR_H

typedef struct {
    unsigned char mig_vers;
    unsigned char if_vers;
    unsigned char reserved1;
    unsigned char mig_encoding;
    unsigned char int_rep;
    unsigned char char_rep;
    unsigned char float_rep;
    unsigned char reserved2;
} NDR_record_t;

#define NDR_INT_LITTLE_ENDIAN 1
#define NDR_CHAR_ASCII 0
#define NDR_FLOAT_IEEE 0

_Static_assert(sizeof(NDR_record_t) == 8, "NDR_record_t");

static const NDR_record_t NDR_record __attribute__((unused)) = {.int_rep = NDR_INT_LITTLE_ENDIAN};

#endif
