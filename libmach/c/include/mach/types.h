/* The types of Mach's calls. Ports' names, codes and sizes have 32 bits, addresses 64. */
#ifndef MACH_TYPES_H
#define MACH_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <mach/numbers.h>

typedef int kern_return_t;
typedef int boolean_t;
typedef unsigned int natural_t;
typedef int integer_t;

#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

typedef natural_t mach_msg_type_number_t;
typedef natural_t mach_port_t;
typedef mach_port_t mach_port_name_t;
typedef mach_port_t task_t;
typedef mach_port_t thread_t;
typedef mach_port_t host_t;
typedef mach_port_t host_priv_t;
typedef mach_port_t semaphore_t;
typedef mach_port_t ledger_t;
typedef mach_port_t exception_port_t;
typedef mach_port_t ipc_space_t;
typedef mach_port_t vm_map_t;
typedef mach_port_t *mach_port_array_t;
typedef thread_t *thread_act_array_t;
typedef mach_port_name_t *mach_port_name_array_t;
typedef mach_port_t mem_entry_name_port_t;

#define MACH_PORT_NULL ((mach_port_t)0)
#define MACH_PORT_DEAD (~(mach_port_t)0)
#define MACH_PORT_VALID(name) ((name) != MACH_PORT_NULL && (name) != MACH_PORT_DEAD)

typedef uint64_t vm_address_t;
typedef uint64_t vm_offset_t;
typedef uint64_t vm_size_t;
typedef uint64_t mach_vm_address_t;
typedef uint64_t mach_vm_offset_t;
typedef uint64_t mach_vm_size_t;
typedef uint32_t vm_prot_t;
typedef uint32_t vm_inherit_t;

#endif
