//! The monitor as people and the host's tool meet it, with fakes for kernel, supervisor and lines.

mod fakes;
mod remote;
mod reports;
mod terminal;
