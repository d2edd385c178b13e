//! Clocks of the host (XNU `mach/clock_types.h`, `mach/host_notify.h`).

/// Which clock.
pub mod which {
    /// Time since boot, which nobody sets.
    pub const SYSTEM: u32 = 0;
    /// The calendar: as the system clock until it is set.
    pub const CALENDAR: u32 = 1;
}

/// What a time of an alarm or of a sleep is.
pub mod kind {
    /// A time of the clock.
    pub const ABSOLUTE: u32 = 0;
    /// A span from now on.
    pub const RELATIVE: u32 = 1;
}

/// Attributes of a clock, one word each: ns.
pub mod attribute {
    /// How exactly its time is told.
    pub const TIME_RESOLUTION: u32 = 1;
    /// How exactly its alarms come.
    pub const ALARM_RESOLUTION: u32 = 3;
    /// The least that may become.
    pub const ALARM_LEAST: u32 = 4;
    /// The most that may become.
    pub const ALARM_MOST: u32 = 5;
}

/// What a host's `request_notification` asks for.
pub mod change {
    /// The calendar was set.
    pub const CALENDAR_CHANGED: u32 = 0;
    /// The calendar was set, or is to be adjusted, which comes to the same here.
    pub const CALENDAR_SET: u32 = 1;
}

/// Id of the message of an alarm: word 0 is a `kern_return_t`, word 1 of [`kind`], words 2 and 3 are seconds and ns.
pub const ALARM_REPLY: i32 = 3_125_107;
/// Id of the message that answers [`change::CALENDAR_CHANGED`]; the next one is that of [`change::CALENDAR_SET`].
pub const CALENDAR_CHANGED: i32 = 950;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
