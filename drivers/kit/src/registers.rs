//! Registers in a range of I/O ports, each with its width, direction and meaning in its type.

use core::marker::PhantomData;

use interfaces::io::IoRange;
use libmach::{Result, SendRight, trap};

/// How many bytes one access moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 1.
    Byte = 1,
    /// 2.
    Word = 2,
    /// 4.
    Long = 4,
}

/// A range of I/O ports: the machine's, or a fake device.
pub trait Ports {
    /// Reads at `offset` bytes from the range's start.
    ///
    /// # Errors
    /// When the access leaves the range, or the right to it was revoked.
    fn read(&self, offset: u16, width: Width) -> Result<u32>;

    /// Writes at `offset` bytes from the range's start.
    ///
    /// # Errors
    /// As [`Ports::read`].
    fn write(&self, offset: u16, width: Width, value: u32) -> Result<()>;
}

/// The machine's I/O ports, as far as the right reaches. One trap an access.
#[derive(Debug)]
pub struct IoPorts(SendRight<dyn IoRange>);

impl IoPorts {
    /// The range behind a right.
    pub const fn new(range: SendRight<dyn IoRange>) -> Self {
        Self(range)
    }
}

impl Ports for IoPorts {
    fn read(&self, offset: u16, width: Width) -> Result<u32> {
        Ok(trap::io_read(self.0.name(), offset, width as u8)?)
    }

    fn write(&self, offset: u16, width: Width, value: u32) -> Result<()> {
        Ok(trap::io_write(self.0.name(), offset, width as u8, value)?)
    }
}

/// What a register holds: a number, or bits with names ([`crate::bits`]).
pub trait Value: Copy {
    /// The register's width.
    const WIDTH: Width;

    /// The value of what was read. Bits above the width are zero.
    fn from_raw(raw: u32) -> Self;

    /// What is written.
    fn into_raw(self) -> u32;
}

macro_rules! numbers {
    ($($type:ty: $width:ident,)*) => {$(
        impl Value for $type {
            const WIDTH: Width = Width::$width;

            fn from_raw(raw: u32) -> Self {
                // The cut is the register's width.
                raw as Self
            }

            fn into_raw(self) -> u32 {
                self.into()
            }
        }
    )*};
}
numbers! { u8: Byte, u16: Word, u32: Long, }

/// Lets a `bitflags` type be a register's value. Bits without a name are kept as they are.
#[macro_export]
macro_rules! bits {
    ($($type:ty: $raw:ty),* $(,)?) => {$(
        impl $crate::Value for $type {
            const WIDTH: $crate::Width = <$raw as $crate::Value>::WIDTH;

            fn from_raw(raw: u32) -> Self {
                Self::from_bits_retain(<$raw as $crate::Value>::from_raw(raw))
            }

            fn into_raw(self) -> u32 {
                self.bits().into()
            }
        }
    )*};
}

/// Direction of a register that is only read.
#[derive(Clone, Copy, Debug)]
pub enum ReadOnly {}
/// Direction of a register that is only written.
#[derive(Clone, Copy, Debug)]
pub enum WriteOnly {}
/// Direction of a register that is read and written.
#[derive(Clone, Copy, Debug)]
pub enum ReadWrite {}

/// Directions that allow reading.
pub trait CanRead {}
/// Directions that allow writing.
pub trait CanWrite {}
impl CanRead for ReadOnly {}
impl CanRead for ReadWrite {}
impl CanWrite for WriteOnly {}
impl CanWrite for ReadWrite {}

/// A register that holds a `T`, used in direction `A`.
#[derive(Clone, Copy, Debug)]
pub struct Register<T, A> {
    offset: u16,
    kind: PhantomData<fn() -> (T, A)>,
}

impl<T: Value, A> Register<T, A> {
    /// The register at `offset` bytes from the range's start.
    pub const fn at(offset: u16) -> Self {
        Self {
            offset,
            kind: PhantomData,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`Ports::read`].
    pub fn read(self, ports: &impl Ports) -> Result<T>
    where
        A: CanRead,
    {
        Ok(T::from_raw(ports.read(self.offset, T::WIDTH)?))
    }

    /// Writes it.
    ///
    /// # Errors
    /// As [`Ports::write`].
    pub fn write(self, ports: &impl Ports, value: T) -> Result<()>
    where
        A: CanWrite,
    {
        ports.write(self.offset, T::WIDTH, value.into_raw())
    }
}
