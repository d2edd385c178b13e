//! `kern_return_t` and `mach_msg_return_t`: the codes that calls answer with.
//!
//! Source: XNU `osfmk/mach/kern_return.h`, `osfmk/mach/message.h`, `osfmk/mach/mig_errors.h`, and `bootstrap.h`
//! of launchd; 1110 and up are ours. `Debug` writes a code's name, `Display` what it says.

use core::fmt;

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $words:literal])* $variant:ident = $value:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        #[allow(non_upper_case_globals, reason = "the codes read as variants of their type")]
        impl $name {
            $($(#[doc = $words])* pub const $variant: Self = Self($value);)*

            /// The code's name, or `None` for a number that no code has.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(value if value == $value => Some(stringify!($variant)),)*
                    _ => None,
                }
            }

            /// What the code says, in words: the sentence that describes it here.
            pub const fn words(self) -> Option<&'static str> {
                match self.0 {
                    $(value if value == $value => Some(concat!($($words),*)),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({:#x})"), self.0),
                }
            }
        }
    };
}

/// Writes a code's words as part of a sentence, and its name: `a ledger or a kernel table is full (ResourceShortage)`.
fn describe(
    f: &mut fmt::Formatter<'_>,
    (name, words): (Option<&str>, Option<&str>),
    number: u32,
) -> fmt::Result {
    let (Some(name), Some(words)) = (name, words) else {
        return write!(f, "a code that nothing here knows ({number:#x})");
    };
    let words = words.trim().trim_end_matches('.');
    // An abbreviation stays as it is.
    let begins_lower = words
        .chars()
        .nth(1)
        .is_none_or(|second| !second.is_uppercase());
    let mut rest = words.chars();
    match rest.next().filter(|_| begins_lower) {
        Some(first) => write!(f, "{}{} ({name})", first.to_lowercase(), rest.as_str()),
        None => write!(f, "{words} ({name})"),
    }
}

impl fmt::Display for KernReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, (self.name(), self.words()), self.0)
    }
}

impl fmt::Display for MessageReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.without_resources();
        describe(f, (code.name(), code.words()), self.0)?;
        let lacking = [
            (resource::IPC_SPACE, "names"),
            (resource::VM_SPACE, "address space"),
            (resource::IPC_KERNEL, "kernel memory for a right"),
            (resource::VM_KERNEL, "kernel memory for data"),
        ];
        for (_, what) in lacking.iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(f, ", for want of {what}")?;
        }
        Ok(())
    }
}

codes! {
    /// The answer of every trap but `mach_msg`, and of every kernel-object call.
    KernReturn {
        /// The call did what its name says.
        Success = 0,
        /// The address lies in no region, or outside what a task may use.
        InvalidAddress = 1,
        /// The region's protection forbids the access.
        ProtectionFailure = 2,
        /// No free range of that size, or the fixed range is taken.
        NoSpace = 3,
        /// An argument is outside its domain.
        InvalidArgument = 4,
        /// The call failed for a reason that has no code of its own.
        Failure = 5,
        /// A ledger or a kernel table is full.
        ResourceShortage = 6,
        /// The right is not a receive right.
        NotReceiver = 7,
        /// The object is not accessible to the caller.
        NoAccess = 8,
        /// A pager could not supply the page.
        MemoryFailure = 9,
        /// A pager answered with an error.
        MemoryError = 10,
        /// The port is in the set.
        AlreadyInSet = 11,
        /// The port is in no set.
        NotInSet = 12,
        /// The name is in use already.
        NameExists = 13,
        /// The operation was interrupted by `thread_abort`.
        Aborted = 14,
        /// The name denotes nothing in the task's space.
        InvalidName = 15,
        /// The task is not an active one.
        InvalidTask = 16,
        /// The name denotes something, but not the right that the call needs.
        InvalidRight = 17,
        /// A value is outside its domain.
        InvalidValue = 18,
        /// A user-reference count would overflow.
        UrefsOverflow = 19,
        /// The port right in a message or call is null or dead.
        InvalidCapability = 20,
        /// The task holds the right under another name.
        RightExists = 21,
        /// The host port is not the host's.
        InvalidHost = 22,
        /// The page is resident already.
        MemoryPresent = 23,
        /// The thread's priority is not depressed.
        NotDepressed = 28,
        /// The thread or object was terminated.
        Terminated = 37,
        /// The thread does not wait for what was signalled.
        NotWaiting = 48,
        /// The deadline passed.
        OperationTimedOut = 49,
        /// The call exists in Mach and not here.
        NotSupported = 46,
        /// The service belongs to another task, or gives a power that the caller's manifest does not name.
        NotPrivileged = 1100,
        /// The name is registered already.
        NameInUse = 1101,
        /// No manifest declares the service, and nobody registered it.
        UnknownService = 1102,
        /// The service was checked in already, and its server lives.
        ServiceActive = 1103,
        /// An array's length does not fit another's. No call here has such arrays.
        BadCount = 1104,
        /// The name service has no room for it.
        NoMemory = 1105,
        /// The service has failed, and is not started again before `svc start`.
        ServiceFailed = 1110,
        /// The archive holds no program, or no server, of the name.
        NoSuchProgram = 1111,
        /// The service has no task, so that there is nothing to end.
        NotRunning = 1112,
        /// The file is no program that can be loaded, or its manifest asks for what cannot be given.
        NotLoaded = 1113,
        /// MIG: the reply is not of the expected shape.
        MigTypeError = 0xffff_fed4,
        /// MIG: the reply's id is not the request's plus 100.
        MigReplyMismatch = 0xffff_fed3,
        /// MIG: the server reported an error that has no code.
        MigRemoteError = 0xffff_fed2,
        /// MIG: the server knows no request of this id.
        MigBadId = 0xffff_fed1,
        /// MIG: the arguments do not decode.
        MigBadArguments = 0xffff_fed0,
        /// MIG: the server keeps the reply and sends it later.
        MigNoReply = 0xffff_fecf,
        /// MIG: a variable array is larger than its bound.
        MigArrayTooLarge = 0xffff_fecd,
        /// MIG: the server died before it answered.
        MigServerDied = 0xffff_fecc,
    }
}

codes! {
    /// The answer of `mach_msg`.
    MessageReturn {
        /// The message was sent, received, or both.
        Success = 0,
        /// The options or sizes in the registers make no message.
        SendInvalidHeader = 0x1000_0010,
        /// The destination name is no right that can be sent to.
        SendInvalidDest = 0x1000_0003,
        /// The send deadline passed on a full queue; the rights came back.
        SendTimedOut = 0x1000_0004,
        /// The message is shorter than its header or its descriptors, or no multiple of 4 bytes
        /// (`libmach/c` alone).
        SendMsgTooSmall = 0x1000_0008,
        /// There are no vouchers (`libmach/c` alone).
        SendInvalidVoucher = 0x1000_0005,
        /// The reply name is not the right that its disposition needs.
        SendInvalidReply = 0x1000_0009,
        /// A descriptor names a right that its disposition does not find.
        SendInvalidRight = 0x1000_000a,
        /// Out-of-line memory is not readable.
        SendInvalidMemory = 0x1000_000c,
        /// No kernel memory for the message.
        SendNoBuffer = 0x1000_000d,
        /// The message is larger than the sender's buffer, or than any message may be.
        SendTooLarge = 0x1000_000e,
        /// A descriptor's type or fields are unknown.
        SendInvalidType = 0x1000_000f,
        /// `thread_abort` interrupted the send; the rights came back.
        SendInterrupted = 0x1000_0007,
        /// The receive name is no receive right and no port set.
        ReceiveInvalidName = 0x1000_4002,
        /// The receive deadline passed.
        ReceiveTimedOut = 0x1000_4003,
        /// The message needs a larger buffer than the receiver's, or a buffer at all.
        ReceiveTooLarge = 0x1000_4004,
        /// `thread_abort` interrupted the receive.
        ReceiveInterrupted = 0x1000_4005,
        /// The port was moved, destroyed, or left its set while the thread waited.
        ReceivePortChanged = 0x1000_4006,
        /// The trailer asked for is none (`libmach/c` alone).
        ReceiveInvalidTrailer = 0x1000_400f,
        /// The message came, without its reply right: no room for a name.
        ReceiveHeaderError = 0x1000_400b,
        /// The receive right died while the thread waited (kernel-made calls only).
        ReceivePortDied = 0x1000_4009,
        /// The message came, without some of its rights or memory: no room for them.
        ReceiveBodyError = 0x1000_400c,
    }
}

/// Bits that say what ran out, combined by OR into a [`MessageReturn`].
pub mod resource {
    /// No room for names in the task's port space.
    pub const IPC_SPACE: u32 = 0x0000_2000;
    /// No room in the task's address space.
    pub const VM_SPACE: u32 = 0x0000_1000;
    /// The kernel has no memory for a port right.
    pub const IPC_KERNEL: u32 = 0x0000_0800;
    /// The kernel has no memory for out-of-line data.
    pub const VM_KERNEL: u32 = 0x0000_0400;
}

impl MessageReturn {
    const RESOURCES: u32 =
        resource::IPC_SPACE | resource::VM_SPACE | resource::IPC_KERNEL | resource::VM_KERNEL;

    /// The code without the bits of [`resource`].
    pub const fn without_resources(self) -> Self {
        Self(self.0 & !Self::RESOURCES)
    }

    /// The bits of [`resource`] alone.
    pub const fn resources(self) -> u32 {
        self.0 & Self::RESOURCES
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{KernReturn, MessageReturn, resource};
    use std::string::ToString;

    #[test]
    fn a_code_is_shown_in_words_with_its_name() {
        assert_eq!(
            KernReturn::UnknownService.to_string(),
            "no manifest declares the service, and nobody registered it (UnknownService)"
        );
        assert_eq!(
            KernReturn::MigBadId.to_string(),
            "MIG: the server knows no request of this id (MigBadId)"
        );
        let unknown = KernReturn(0x1234).to_string();
        assert_eq!(unknown, "a code that nothing here knows (0x1234)");
    }

    #[test]
    fn what_was_lacking_is_named_beside_the_code() {
        let code = MessageReturn::ReceiveBodyError.0 | resource::IPC_SPACE | resource::VM_SPACE;
        let text = MessageReturn(code).to_string();
        assert!(text.contains("(ReceiveBodyError)"), "{text}");
        assert!(
            text.ends_with("for want of names, for want of address space"),
            "{text}"
        );
    }
}
