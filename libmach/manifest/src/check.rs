//! The rules that a manifest must keep beyond its shape.

use crate::schema::{Limits, Manifest, Right};

const PAGE_SIZE: u64 = 4096;
/// The highest priority of a thread (`abi::task::MAX_PRIORITY`).
const MAX_PRIORITY: u32 = 127;

/// The rule that a manifest breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// The name is not `[a-z][a-z0-9-]*`.
    Name,
    /// A service's name is not a sequence of names joined by dots.
    Service,
    /// A service is offered twice.
    RepeatedService,
    /// Started on demand, yet it offers no service.
    NothingToDemand,
    /// A heartbeat's period of 0.
    Heartbeat,
    /// A limit of 0.
    Limit,
    /// The limit of priority is none of 1 to 127.
    Priority,
    /// A right's label is not `[a-z][a-z0-9-]*`.
    Label,
    /// A range of I/O ports that is empty or passes port 0xffff.
    IoPorts,
    /// A window or buffer that is empty, not page-aligned, or wraps.
    Memory,
    /// An argument with a NUL in it.
    Argument,
}

impl core::fmt::Display for Invalid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Name => "`name` is not of the form [a-z][a-z0-9-]*",
            Self::Service => "a service's name is not of the form name.name.name",
            Self::RepeatedService => "a service is named twice",
            Self::NothingToDemand => "`start = \"demand\"` needs a service to wait for",
            Self::Heartbeat => "`heartbeat` is 0 ms",
            Self::Limit => "a limit is 0",
            Self::Priority => "the priority is not one of 1 to 127",
            Self::Label => "a right's name is not of the form [a-z][a-z0-9-]*",
            Self::IoPorts => "a range of I/O ports is empty or passes port 0xffff",
            Self::Memory => "a memory range is empty, not a multiple of 4096, or wraps",
            Self::Argument => "an argument holds a NUL",
        })
    }
}

impl core::error::Error for Invalid {}

/// Whether `text` is `[a-z][a-z0-9-]*`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether `text` is a service's name: at least two names, joined by dots. `_` may stand where `-`
/// may.
#[must_use]
pub fn is_service(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|part| {
            part.starts_with(|first: char| first.is_ascii_lowercase())
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        })
}

impl Manifest {
    /// Whether every rule holds.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        is_name(&self.name).then_some(()).ok_or(Invalid::Name)?;
        for (index, service) in self.services.iter().enumerate() {
            is_service(service).then_some(()).ok_or(Invalid::Service)?;
            let earlier = &self.services[..index];
            (!earlier.contains(service))
                .then_some(())
                .ok_or(Invalid::RepeatedService)?;
        }
        let demanded = self.start == crate::Start::Demand;
        (!demanded || !self.services.is_empty())
            .then_some(())
            .ok_or(Invalid::NothingToDemand)?;
        (self.heartbeat != Some(0))
            .then_some(())
            .ok_or(Invalid::Heartbeat)?;
        for argument in &self.args {
            (!argument.contains('\0'))
                .then_some(())
                .ok_or(Invalid::Argument)?;
        }
        self.limits.check()?;
        for (label, right) in &self.rights {
            is_name(label).then_some(()).ok_or(Invalid::Label)?;
            right.check()?;
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), Invalid> {
        let all = [
            u64::from(self.names),
            u64::from(self.messages),
            self.kernel_memory,
            u64::from(self.pages),
            u64::from(self.threads),
        ];
        (!all.contains(&0)).then_some(()).ok_or(Invalid::Limit)?;
        let priorities = 1..=MAX_PRIORITY;
        priorities
            .contains(&self.priority)
            .then_some(())
            .ok_or(Invalid::Priority)
    }
}

impl Right {
    fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Service(name) => is_service(name).then_some(()).ok_or(Invalid::Service),
            Self::IoPorts { first, count } => {
                let end = u32::from(*first) + u32::from(*count);
                (*count > 0 && end <= 0x1_0000)
                    .then_some(())
                    .ok_or(Invalid::IoPorts)
            }
            Self::Memory { address, size } => {
                let aligned = (address | size) % PAGE_SIZE == 0;
                let ends = address.checked_add(*size).is_some();
                (*size > 0 && aligned && ends)
                    .then_some(())
                    .ok_or(Invalid::Memory)
            }
            Self::Dma { size } => (*size > 0 && size % PAGE_SIZE == 0)
                .then_some(())
                .ok_or(Invalid::Memory),
            Self::Interrupt { .. } | Self::Root(_) => Ok(()),
        }
    }
}
