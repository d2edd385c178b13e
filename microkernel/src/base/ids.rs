//! Ids of the kernel's objects.
//!
//! Lower layers name objects of higher ones without knowing them: each id's kind is a marker, not the
//! object's type.

use arena::Id;

macro_rules! kinds {
    ($($(#[$doc:meta])* $id:ident = $kind:ident;)*) => {
        $(
            #[doc = concat!("Marker of [`", stringify!($id), "`].")]
            #[derive(Clone, Copy, Debug)]
            pub enum $kind {}
            $(#[$doc])*
            pub type $id = Id<$kind>;
        )*
    };
}

kinds! {
    /// A thread.
    ThreadId = ThreadKind;
    /// A task.
    TaskId = TaskKind;
    /// A port space: the names of one task.
    SpaceId = SpaceKind;
    /// A part of a space's name table.
    ChunkId = ChunkKind;
    /// A port or a port set.
    PortId = PortKind;
    /// A queued message.
    MessageId = MessageKind;
    /// Data and rights of a queued message.
    BodyId = BodyKind;
    /// A port array of a message.
    ArrayId = ArrayKind;
    /// A part of a port array.
    RowId = RowKind;
    /// A notification that was asked for, or that waits to be received.
    NoticeId = NoticeKind;
    /// An alarm of a clock, or a request to hear of it.
    AlarmId = AlarmKind;
    /// A thread's message buffer.
    BufferId = BufferKind;
    /// A port's membership of a set.
    MembershipId = MembershipKind;
    /// A semaphore.
    SemaphoreId = SemaphoreKind;
    /// What only few threads have.
    ExtraId = ExtraKind;
    /// A thread's own exception ports.
    ActionsId = ActionsKind;
    /// A place in the trace ring.
    RecordId = RecordKind;
}
