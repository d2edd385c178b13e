//! Interrupt lines: who has the right to each, and which port it fires on.
//!
//! Both are remembered by id and die with the port: a line whose right is gone is free again, one whose
//! bound port is gone stays masked when it fires.

use super::Ports;
use crate::base::ids::PortId;

/// Interrupt lines that can be bound to ports.
pub const MAX_LINES: usize = 256;

/// One line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// The port that stands for it, while somebody has the right.
    pub right: Option<PortId>,
    /// The port that it fires on.
    pub bound: Option<PortId>,
}

/// All lines.
#[derive(Debug)]
pub struct Lines([Line; MAX_LINES]);

impl Lines {
    pub(super) const fn new() -> Self {
        Self(
            [Line {
                right: None,
                bound: None,
            }; MAX_LINES],
        )
    }

    /// A line; `None`: there is no such one.
    pub fn get_mut(&mut self, line: u32) -> Option<&mut Line> {
        self.0.get_mut(line as usize)
    }

    /// The port that a line fires on.
    pub fn bound(&self, line: u32) -> Option<PortId> {
        self.0.get(line as usize)?.bound
    }

    /// Whether somebody has the right to a line.
    pub fn is_given(&self, line: u32, ports: &Ports) -> bool {
        let right = self.0.get(line as usize).and_then(|line| line.right);
        right.is_some_and(|right| ports.get(right).is_some())
    }
}
