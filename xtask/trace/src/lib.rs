//! The guest's trace report, and the picture of it: tracks, slices and flows, as a file that Perfetto opens.
//!
//! A crate of its own, so that a fuzz target reaches the reader. Deliberately absent: files, and the machine that
//! the report comes from.
#![forbid(unsafe_code)]

mod lanes;
mod perfetto;
mod report;
mod timeline;

pub use report::{BadLine, Event, Report, Role, split};
pub use timeline::{Size, draw};
