/* Memory of the task. task is mach_task_self(); another one is KERN_NOT_SUPPORTED. */
#ifndef MACH_VM_MAP_H
#define MACH_VM_MAP_H

#include <mach/vm_prot.h>

kern_return_t vm_allocate(vm_map_t task, vm_address_t *address, vm_size_t size, int flags);
kern_return_t vm_deallocate(vm_map_t task, vm_address_t address, vm_size_t size);
kern_return_t vm_protect(vm_map_t task, vm_address_t address, vm_size_t size, boolean_t set_maximum,
                         vm_prot_t protection);

/* mask is 0. */
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

#endif
