//! Messages to the kernel's own ports, by the interface clients: tasks, threads, the host, devices.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod clocks;
mod depression;
mod deserted;
mod devices;
mod exceptions;
mod gaps;
mod guarded;
mod host;
mod info;
mod large_pages;
mod many;
mod memory;
mod notices;
mod policies;
mod ports;
mod processors;
mod rare;
mod registers;
mod remap;
mod scale;
mod semaphores;
mod shortage;
mod special;
mod tasks;
mod threads;
mod times;
mod transport;
mod waits;
mod world;
