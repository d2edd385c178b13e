/* vm_prot_t and vm_inherit_t. */
#ifndef MACH_VM_PROT_H
#define MACH_VM_PROT_H

#include <mach/types.h>

#define VM_PROT_DEFAULT (VM_PROT_READ | VM_PROT_WRITE)
#define VM_INHERIT_DEFAULT VM_INHERIT_COPY

#endif
