//! Which service is on which port.

use alloc::string::String;

use libmach::Result;
use libmach::abi::kern_return::KernReturn;

/// An argument of the driver, `SERVICE=REGISTERS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The manifest's name for the device's I/O ports.
    pub registers: &'a str,
}

impl<'a> Assignment<'a> {
    /// Reads an argument.
    ///
    /// # Errors
    /// `InvalidArgument` when it has no `=`.
    pub fn parse(argument: &'a str) -> Result<Self> {
        let (service, registers) = argument
            .split_once('=')
            .ok_or(KernReturn::InvalidArgument)?;
        Ok(Self { service, registers })
    }

    /// The manifest's name for the device's interrupt.
    pub fn interrupt(&self) -> String {
        alloc::format!("{}-interrupt", self.registers)
    }
}

#[cfg(test)]
mod tests {
    use super::Assignment;

    #[test]
    fn an_argument_names_service_and_rights() {
        let found = Assignment::parse("org.mello.console=com1").unwrap();
        assert_eq!(found.service, "org.mello.console");
        assert_eq!(found.registers, "com1");
        assert_eq!(found.interrupt(), "com1-interrupt");
        assert!(Assignment::parse("org.mello.console").is_err());
    }
}
