//! One module per service: what its messages are, for clients and servers alike.
//!
//! Each module holds an `#[interface]` trait (the message ids are its subsystem plus the method's
//! place), the values that it carries, and nothing else. Servers and drivers meet here and never
//! import each other. The kernel's objects are interfaces like any other: `task`, `thread`,
//! `vm`, `host`, `io`, `interrupt`, `memory`, `memory_object`.
//!
//! Deliberately absent: any implementation, any allocation, any trap.
#![no_std]
#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod bounded;
pub mod clock;
pub mod console;
pub mod crash;
pub mod default_pager;
pub mod echo;
pub mod exceptions;
pub mod host;
pub mod interrupt;
pub mod io;
pub mod log;
pub mod mach_host;
pub mod memory;
pub mod memory_object;
pub mod processor;
pub mod semaphore;
pub mod squares;
pub mod supervisor;
pub mod tally;
pub mod task;
pub mod thread;
pub mod vm;

use abi::transport::{Description, Interface};

/// Every interface, for tools that give messages their names.
pub const ALL: &[&Description] = &[
    <dyn host::Host>::DESCRIPTION,
    <dyn mach_host::MachHost>::DESCRIPTION,
    <dyn processor::Processor>::DESCRIPTION,
    <dyn processor::ProcessorSet>::DESCRIPTION,
    <dyn task::Task>::DESCRIPTION,
    <dyn thread::Thread>::DESCRIPTION,
    <dyn vm::Vm>::DESCRIPTION,
    <dyn exceptions::ExceptionPorts>::DESCRIPTION,
    <dyn exceptions::Exceptions>::DESCRIPTION,
    <dyn semaphore::Semaphore>::DESCRIPTION,
    <dyn clock::Clock>::DESCRIPTION,
    <dyn clock::ClockReply>::DESCRIPTION,
    <dyn clock::HostNotify>::DESCRIPTION,
    <dyn io::IoRoot>::DESCRIPTION,
    <dyn io::IoRange>::DESCRIPTION,
    <dyn interrupt::InterruptRoot>::DESCRIPTION,
    <dyn interrupt::Interrupt>::DESCRIPTION,
    <dyn memory::MemoryRoot>::DESCRIPTION,
    <dyn memory::Entry>::DESCRIPTION,
    <dyn memory_object::MemoryObject>::DESCRIPTION,
    <dyn memory_object::MemoryControl>::DESCRIPTION,
    <dyn default_pager::DefaultPager>::DESCRIPTION,
    <dyn bootstrap::Bootstrap>::DESCRIPTION,
    <dyn supervisor::Supervisor>::DESCRIPTION,
    <dyn console::Console>::DESCRIPTION,
    <dyn log::Log>::DESCRIPTION,
    <dyn crash::CrashReporter>::DESCRIPTION,
    <dyn echo::Echo>::DESCRIPTION,
    <dyn tally::Tally>::DESCRIPTION,
    <dyn squares::Squares>::DESCRIPTION,
];

/// The interfaces that the kernel's own ports answer.
pub const KERNEL: &[&Description] = &[
    <dyn host::Host>::DESCRIPTION,
    <dyn mach_host::MachHost>::DESCRIPTION,
    <dyn processor::Processor>::DESCRIPTION,
    <dyn processor::ProcessorSet>::DESCRIPTION,
    <dyn task::Task>::DESCRIPTION,
    <dyn thread::Thread>::DESCRIPTION,
    <dyn vm::Vm>::DESCRIPTION,
    <dyn exceptions::ExceptionPorts>::DESCRIPTION,
    <dyn semaphore::Semaphore>::DESCRIPTION,
    <dyn clock::Clock>::DESCRIPTION,
    <dyn io::IoRoot>::DESCRIPTION,
    <dyn io::IoRange>::DESCRIPTION,
    <dyn interrupt::InterruptRoot>::DESCRIPTION,
    <dyn interrupt::Interrupt>::DESCRIPTION,
    <dyn memory::MemoryRoot>::DESCRIPTION,
    <dyn memory::Entry>::DESCRIPTION,
    <dyn memory_object::MemoryControl>::DESCRIPTION,
];

/// The interface and method of a request id; a reply's id gives its request's.
pub fn name_of(id: i32) -> Option<(&'static str, &'static str)> {
    let find = |id: i32| {
        ALL.iter().find_map(|interface| {
            interface
                .method(id)
                .map(|method| (interface.name, method.name))
        })
    };
    find(id).or_else(|| find(id.wrapping_sub(abi::transport::REPLY_OFFSET)))
}

#[cfg(test)]
mod tests {
    use super::{ALL, KERNEL, name_of};

    #[test]
    fn what_the_kernel_answers_is_known() {
        for kernel in KERNEL {
            assert!(ALL.iter().any(|interface| interface.name == kernel.name));
        }
    }

    #[test]
    fn ids_of_requests_and_replies_are_unique() {
        let mut ids = [0; 1024];
        let mut count = 0;
        for method in ALL.iter().flat_map(|interface| interface.methods) {
            for id in [method.id, method.id + abi::transport::REPLY_OFFSET] {
                assert!(
                    !ids[..count].contains(&id),
                    "{id} of {} is used twice",
                    method.name
                );
                ids[count] = id;
                count += 1;
            }
        }
    }

    #[test]
    fn a_reply_has_the_name_of_its_request() {
        assert_eq!(name_of(4200), Some(("org.mello.echo", "echo")));
        assert_eq!(name_of(4300), Some(("org.mello.echo", "echo")));
        assert_eq!(name_of(1), None);
    }
}
