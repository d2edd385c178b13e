//! Fakes for host tests: a device as seen through its registers, and its interrupt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libmach::abi::kern_return::KernReturn;
use libmach::{Result, Runtime, ms};

use crate::{InterruptSource, Ports, Width};

/// A device that a test plays.
pub trait Device {
    /// How many I/O ports it has.
    const PORTS: u16;

    /// A register is read. `offset` and `width` lie in the device.
    fn read(&mut self, offset: u16, width: Width) -> u32;

    /// A register is written.
    fn write(&mut self, offset: u16, width: Width, value: u32);

    /// Whether its interrupt output is active.
    fn interrupts(&self) -> bool;
}

/// A fake device, shared between the driver under test and the test.
#[derive(Debug, Default)]
pub struct Fake<D>(Arc<Mutex<D>>);

impl<D> Clone for Fake<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Device> Fake<D> {
    /// Shares a device.
    pub fn new(device: D) -> Self {
        Self(Arc::new(Mutex::new(device)))
    }

    /// The device itself.
    pub fn device(&self) -> MutexGuard<'_, D> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its interrupt line, for a driver on `runtime`.
    pub fn line(&self, runtime: &Runtime) -> Line<D> {
        Line {
            device: self.clone(),
            runtime: runtime.clone(),
        }
    }

    fn check(offset: u16, width: Width) -> Result<()> {
        if offset.saturating_add(width as u16) > D::PORTS {
            return Err(KernReturn::InvalidArgument.into());
        }
        Ok(())
    }
}

impl<D: Device> Ports for Fake<D> {
    fn read(&self, offset: u16, width: Width) -> Result<u32> {
        Self::check(offset, width)?;
        Ok(self.device().read(offset, width))
    }

    fn write(&self, offset: u16, width: Width, value: u32) -> Result<()> {
        Self::check(offset, width)?;
        self.device().write(offset, width, value);
        Ok(())
    }
}

/// The interrupt output of a fake device, looked at every millisecond.
#[derive(Debug)]
pub struct Line<D> {
    device: Fake<D>,
    runtime: Runtime,
}

impl<D: Device> InterruptSource for Line<D> {
    async fn next(&self) -> Result<()> {
        while !self.device.device().interrupts() {
            self.runtime.sleep(ms(1)).await?;
        }
        Ok(())
    }

    fn acknowledge(&self) -> Result<()> {
        Ok(())
    }
}
