/* Memory of a task: of the calling one, or of any whose port is held. */
#ifndef MACH_VM_MAP_H
#define MACH_VM_MAP_H

#include <mach/vm_prot.h>

typedef natural_t vm_behavior_t;
typedef natural_t vm_sync_t;
typedef int vm_region_flavor_t;
typedef int *vm_region_info_t;

#pragma pack(push, 4)
typedef struct {
    vm_prot_t protection;
    vm_prot_t max_protection;
    vm_inherit_t inheritance;
    boolean_t shared;
    boolean_t reserved;
    uint64_t offset;
    vm_behavior_t behavior;
    unsigned short user_wired_count;
} vm_region_basic_info_data_64_t;
#pragma pack(pop)

_Static_assert(sizeof(vm_region_basic_info_data_64_t) <= 4 * VM_REGION_BASIC_INFO_COUNT_64, "vm_region_basic_info");

kern_return_t vm_allocate(vm_map_t task, vm_address_t *address, vm_size_t size, int flags);
kern_return_t vm_deallocate(vm_map_t task, vm_address_t address, vm_size_t size);
kern_return_t vm_protect(vm_map_t task, vm_address_t address, vm_size_t size, boolean_t set_maximum,
                         vm_prot_t protection);

/* mask: bits that the address must not have. */
kern_return_t vm_map(vm_map_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, int flags,
                     mem_entry_name_port_t object, vm_offset_t offset, boolean_t copy, vm_prot_t protection,
                     vm_prot_t maximum, vm_inherit_t inheritance);

kern_return_t mach_vm_allocate(vm_map_t task, mach_vm_address_t *address, mach_vm_size_t size, int flags);
kern_return_t mach_vm_deallocate(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size);
kern_return_t mach_vm_protect(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size,
                              boolean_t set_maximum, vm_prot_t protection);
kern_return_t mach_vm_map(vm_map_t task, mach_vm_address_t *address, mach_vm_size_t size, mach_vm_offset_t mask,
                          int flags, mem_entry_name_port_t object, mach_vm_offset_t offset, boolean_t copy,
                          vm_prot_t protection, vm_prot_t maximum, vm_inherit_t inheritance);

/* The copy is the caller's to deallocate. */
kern_return_t vm_read(vm_map_t task, vm_address_t address, vm_size_t size, vm_offset_t *data, mach_msg_type_number_t *count);
kern_return_t vm_read_overwrite(vm_map_t task, vm_address_t address, vm_size_t size, vm_address_t data, vm_size_t *done);
/* At most 1 MiB. */
kern_return_t vm_write(vm_map_t task, vm_address_t address, vm_offset_t data, mach_msg_type_number_t count);
kern_return_t vm_copy(vm_map_t task, vm_address_t source, vm_size_t size, vm_address_t destination);
kern_return_t vm_inherit(vm_map_t task, vm_address_t address, vm_size_t size, vm_inherit_t inheritance);
/* Makes pages stay in memory, once more; with VM_PROT_NONE once less. The host does not matter. */
kern_return_t vm_wire(host_priv_t host, vm_map_t task, vm_address_t address, vm_size_t size, vm_prot_t access);
kern_return_t vm_behavior_set(vm_map_t task, vm_address_t address, vm_size_t size, vm_behavior_t behavior);
kern_return_t vm_msync(vm_map_t task, vm_address_t address, vm_size_t size, vm_sync_t flags);
kern_return_t vm_remap(vm_map_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, int flags, vm_map_t source, vm_address_t source_address,
                      boolean_t copy, vm_prot_t *current, vm_prot_t *maximum, vm_inherit_t inheritance);

/* The copy is the caller's to deallocate. */
kern_return_t mach_vm_read(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, vm_offset_t *data, mach_msg_type_number_t *count);
kern_return_t mach_vm_read_overwrite(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, mach_vm_address_t data, mach_vm_size_t *done);
/* At most 1 MiB. */
kern_return_t mach_vm_write(vm_map_t task, mach_vm_address_t address, vm_offset_t data, mach_msg_type_number_t count);
kern_return_t mach_vm_copy(vm_map_t task, mach_vm_address_t source, mach_vm_size_t size, mach_vm_address_t destination);
kern_return_t mach_vm_inherit(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, vm_inherit_t inheritance);
kern_return_t mach_vm_wire(host_priv_t host, vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, vm_prot_t access);
kern_return_t mach_vm_behavior_set(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, vm_behavior_t behavior);
kern_return_t mach_vm_msync(vm_map_t task, mach_vm_address_t address, mach_vm_size_t size, vm_sync_t flags);
kern_return_t mach_vm_remap(vm_map_t task, mach_vm_address_t *address, mach_vm_size_t size, mach_vm_address_t mask, int flags, vm_map_t source, mach_vm_address_t source_address,
                      boolean_t copy, vm_prot_t *current, vm_prot_t *maximum, vm_inherit_t inheritance);

/* flavor is VM_REGION_BASIC_INFO_64. object is MACH_PORT_NULL: no region has a name. */
kern_return_t vm_region_64(vm_map_t task, vm_address_t *address, vm_size_t *size, vm_region_flavor_t flavor,
                           vm_region_info_t info, mach_msg_type_number_t *count, mach_port_t *object);
kern_return_t mach_vm_region(vm_map_t task, mach_vm_address_t *address, mach_vm_size_t *size,
                             vm_region_flavor_t flavor, vm_region_info_t info, mach_msg_type_number_t *count,
                             mach_port_t *object);

/* Of a task's memory at offset (parent is MACH_PORT_NULL), or of a part of an entry. */
kern_return_t mach_make_memory_entry_64(vm_map_t task, mach_vm_size_t *size, mach_vm_offset_t offset,
                                        vm_prot_t permission, mem_entry_name_port_t *entry,
                                        mem_entry_name_port_t parent);

#endif
