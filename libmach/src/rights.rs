//! Owned, typed port rights.
//!
//! A value of these types owns one user reference of a right under its name; `Drop` gives it back;
//! none is `Copy`. The type parameter is the interface (`dyn Counter`) of the messages that go
//! through the port, or [`Untyped`].
//!
//! Ownership across a message: a right that was moved into a message is gone once the message is
//! sent; when it is not, the call's error gives it back (`abi::transport::Refused`).
//!
//! `from_name` believes its caller. A wrong name makes later calls fail or drops the wrong right
//! of this task; it cannot reach anything that the task does not hold.

use core::fmt;
use core::marker::PhantomData;

use abi::names::{Name, disposition, right};
use abi::transport::{Interface, Result};
use abi::trap::{attribute, construct};
use interfaces::task::Task;

use crate::blocking::Blocking;
use crate::memory::Memory;
use crate::{ignore, trap};

pub use abi::transport::Untyped;

macro_rules! owned {
    ($(#[$meta:meta])* $type:ident, $release:expr) => {
        $(#[$meta])*
        pub struct $type<I: ?Sized = Untyped> {
            name: Name,
            interface: PhantomData<fn(&I)>,
        }

        impl<I: ?Sized> $type<I> {
            /// Takes ownership of the right under `name`.
            #[inline(always)]
            pub const fn from_name(name: Name) -> Self {
                Self { name, interface: PhantomData }
            }

            /// The right's name.
            #[inline(always)]
            pub const fn name(&self) -> Name {
                self.name
            }

            /// Gives ownership up: the caller releases the right.
            #[inline(always)]
            pub const fn into_name(self) -> Name {
                let name = self.name;
                core::mem::forget(self);
                name
            }

            /// The same right, seen as one of another interface.
            pub const fn cast<J: ?Sized>(self) -> $type<J> {
                $type::from_name(self.into_name())
            }
        }

        impl<I: ?Sized> Drop for $type<I> {
            fn drop(&mut self) {
                if self.name.is_valid() {
                    let release: fn(Name) -> trap::Outcome<()> = $release;
                    // It fails only when the name was released behind this owner's back.
                    ignore(release(self.name));
                }
            }
        }

        impl<I: ?Sized> fmt::Debug for $type<I> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:#x})"), self.name.0)
            }
        }

        impl<I: ?Sized> PartialEq for $type<I> {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }

        impl<I: ?Sized> Eq for $type<I> {}
    };
}

owned! {
    /// A right to send messages: one user reference.
    SendRight, trap::port_deallocate
}
owned! {
    /// A right to send one message. Dropped unused, the port gets a send-once notification.
    SendOnce, trap::port_deallocate
}
owned! {
    /// The right to receive a port's messages. Dropped, the port dies.
    ReceiveRight, |name| trap::port_mod_refs(name, right::RECEIVE, -1)
}

impl<I: ?Sized> SendRight<I> {
    /// A second user reference of the same right.
    ///
    /// # Errors
    /// [`InvalidRight`](abi::kern_return::KernReturn::InvalidRight) when the port has died.
    pub fn duplicate(&self) -> Result<Self> {
        trap::port_mod_refs(self.name, right::SEND, 1)?;
        Ok(Self::from_name(self.name))
    }
}

impl<I: ?Sized + Interface> SendRight<I> {
    /// The interface's client on this right.
    #[inline(always)]
    pub fn client(&self) -> I::Client<Blocking<&Self>> {
        I::client(Blocking::new(self))
    }

    /// The interface's client, which owns this right.
    pub fn into_client(self) -> I::Client<Blocking<Self>> {
        I::client(Blocking::new(self))
    }
}

impl<I: ?Sized> ReceiveRight<I> {
    /// A new port, without send rights.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn new() -> Result<Self> {
        Ok(Self::from_name(trap::port_construct(0, 0, 0)?))
    }

    /// A new port, whose receives report `label`.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn with_label(label: u64) -> Result<Self> {
        Ok(Self::from_name(trap::port_construct(
            construct::LABEL,
            0,
            label,
        )?))
    }

    /// A new send right to the port.
    ///
    /// # Errors
    /// When the right was taken away behind this owner's back.
    pub fn make_send(&self) -> Result<SendRight<I>> {
        trap::port_insert_right(self.name, self.name, disposition::MAKE_SEND)?;
        Ok(SendRight::from_name(self.name))
    }

    /// A new right to send one message to the port.
    ///
    /// # Errors
    /// When the right was taken away behind this owner's back, or the task may have no more names.
    pub fn make_send_once(&self) -> Result<SendOnce<I>> {
        let task = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let once = task
            .client()
            .extract_send_once(self.name, disposition::MAKE_SEND_ONCE)?;
        Ok(SendOnce::from_name(once.into_name()))
    }

    /// Sets the label that receives on this port report.
    ///
    /// # Errors
    /// When the right was taken away behind this owner's back.
    pub fn set_label(&self, label: u64) -> Result<()> {
        Ok(trap::port_set_label(self.name, label)?)
    }

    /// Sets how many messages the port queues, 0 to 1024.
    ///
    /// # Errors
    /// [`InvalidValue`](abi::kern_return::KernReturn::InvalidValue) when `limit` is above that.
    pub fn set_queue_limit(&self, limit: u32) -> Result<()> {
        Ok(trap::port_set_attribute(
            self.name,
            attribute::QUEUE_LIMIT,
            u64::from(limit),
        )?)
    }

    /// How many send rights to the port exist.
    ///
    /// # Errors
    /// When the right was taken away behind this owner's back.
    pub fn send_rights(&self) -> Result<u64> {
        Ok(trap::port_get_attribute(self.name, attribute::SEND_RIGHTS)?)
    }

    /// How many send rights were ever made, as no-senders notifications count.
    ///
    /// # Errors
    /// When the right was taken away behind this owner's back.
    pub fn make_send_count(&self) -> Result<u32> {
        Ok(trap::port_get_attribute(self.name, attribute::MAKE_SEND_COUNT)? as u32)
    }
}

/// Any number of send rights in one message: an array of names in pages of its own.
///
/// An iterator of its rights, of which those that died on the way are dead (`Name::DEAD`).
pub struct SendRights<I: ?Sized = Untyped> {
    names: Memory,
    /// The first one that was not taken out.
    next: u32,
    count: u32,
    interface: PhantomData<fn(&I)>,
}

impl<I: ?Sized> SendRights<I> {
    /// Puts rights together.
    ///
    /// # Errors
    /// When the task has no memory for their names; the rights are released.
    pub fn new(
        rights: impl IntoIterator<Item = SendRight<I>, IntoIter: ExactSizeIterator>,
    ) -> Result<Self> {
        let rights = rights.into_iter();
        let mut names = Memory::new(rights.len() * size_of::<Name>())?;
        let mut count = 0;
        for (place, right) in names.as_chunks_mut().0.iter_mut().zip(rights) {
            *place = right.into_name().0.to_le_bytes();
            count += 1;
        }
        Ok(Self::from_names(names, count))
    }

    /// Takes ownership of the rights under `count` names.
    pub(crate) const fn from_names(names: Memory, count: u32) -> Self {
        Self {
            names,
            next: 0,
            count,
            interface: PhantomData,
        }
    }

    /// Gives ownership up: the names, and how many there are. Those that were taken out are null.
    pub(crate) fn into_names(mut self) -> (Memory, u32) {
        let taken = (self.next as usize).min(self.names.as_chunks::<4>().0.len());
        for place in &mut self.names.as_chunks_mut::<4>().0[..taken] {
            *place = Name::NULL.0.to_le_bytes();
        }
        self.next = self.count;
        let names = core::mem::replace(&mut self.names, Memory::EMPTY);
        (names, self.count)
    }
}

impl<I: ?Sized> Iterator for SendRights<I> {
    type Item = SendRight<I>;

    fn next(&mut self) -> Option<SendRight<I>> {
        if self.next == self.count {
            return None;
        }
        let name = *self.names.as_chunks().0.get(self.next as usize)?;
        self.next += 1;
        Some(SendRight::from_name(Name(u32::from_le_bytes(name))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.count - self.next) as usize;
        (left, Some(left))
    }
}

impl<I: ?Sized> ExactSizeIterator for SendRights<I> {}

impl<I: ?Sized> Drop for SendRights<I> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<I: ?Sized> fmt::Debug for SendRights<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SendRights({} of {})",
            self.count - self.next,
            self.count
        )
    }
}

/// What a send right became when its port died: one user reference of a dead name.
#[derive(PartialEq, Eq, Debug)]
pub struct DeadName(SendRight<Untyped>);

impl DeadName {
    /// Takes ownership of the dead name.
    pub const fn from_name(name: Name) -> Self {
        Self(SendRight::from_name(name))
    }

    /// The name.
    pub const fn name(&self) -> Name {
        self.0.name()
    }
}

/// A set of receive rights, to receive on all of them at once. Dropped, its members live on.
#[derive(PartialEq, Eq, Debug)]
pub struct PortSet(SendRight<Untyped>);

impl PortSet {
    /// An empty set.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn new() -> Result<Self> {
        let name = trap::port_construct(construct::PORT_SET, 0, 0)?;
        Ok(Self(SendRight::from_name(name)))
    }

    /// The set's name.
    #[inline(always)]
    pub const fn name(&self) -> Name {
        self.0.name()
    }

    /// Adds a port.
    ///
    /// # Errors
    /// [`AlreadyInSet`](abi::kern_return::KernReturn::AlreadyInSet), or the right was taken away behind its owner's back.
    pub fn insert<I: ?Sized>(&self, member: &ReceiveRight<I>) -> Result<()> {
        Ok(trap::port_insert_member(member.name(), self.name())?)
    }

    /// Takes a port out.
    ///
    /// # Errors
    /// [`NotInSet`](abi::kern_return::KernReturn::NotInSet).
    pub fn remove<I: ?Sized>(&self, member: &ReceiveRight<I>) -> Result<()> {
        Ok(trap::port_extract_member(member.name(), self.name())?)
    }
}
