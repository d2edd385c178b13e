//! Messages to the kernel's own ports, by the interface clients: tasks, threads, the host, devices.

mod tasks;
mod transport;
mod world;
