//! Ids of the messages that the kernel sends on its own (XNU `mach/notify.h`, octal there).
//!
//! All but [`PORT_DESTROYED`] are short. Word 0 holds what the id's text says.

/// The name in word 0 was deallocated while a dead-name request was armed on it.
pub const PORT_DELETED: i32 = 0o101;
/// The port under the name in word 0 has room again.
pub const SEND_POSSIBLE: i32 = 0o102;
/// A receive right was destroyed; the message's one port descriptor holds it.
pub const PORT_DESTROYED: i32 = 0o105;
/// No send rights are left; word 0 holds the make-send count.
pub const NO_SENDERS: i32 = 0o106;
/// A send-once right was destroyed without a message.
pub const SEND_ONCE: i32 = 0o107;
/// The port under the name in word 0 died; the name got one more user reference.
pub const DEAD_NAME: i32 = 0o110;

/// A message waits at the port or set under the name in word 0, or did when this was sent. Ours: what others wait for by
/// an event queue. It fires once, at once where something waits already, and not for what goes straight to a thread that
/// waits. When the port or set goes from the name, [`PORT_DELETED`] or [`DEAD_NAME`] comes instead.
pub const MESSAGE_WAITING: i32 = 0o142;

/// The task has as many names as the request's `sync` says; word 0 holds how many. The request is the task's, on the null
/// name. Ours: what comes before `KERN_RESOURCE_SHORTAGE` (MACH.md P-22).
pub const NAMES_USED: i32 = 0o143;

/// Ids of messages that a port's pending word becomes. Ours.
pub mod pending {
    /// An interrupt fired; word 0: how often since the last message.
    pub const INTERRUPT: i32 = 0o140;
    /// The port's timer expired; word 0: its deadline, in ns.
    pub const TIMER: i32 = 0o141;
}
