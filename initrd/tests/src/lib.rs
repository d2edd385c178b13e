//! Tests of the booted system, from ring 3, as TAP: `tests [FILTER ...]` runs the cases whose
//! `area: name` contains one of the filters, or all.
//!
//! Each area is a module of [`areas`] with a list of cases; a case is a function that says what it
//! found. Whatever must end a task is done by another instance of this program (`tests --die KIND`,
//! [`die`]), which the supervisor runs and reports on.
//!
//! `tests --hang KIND` never ends ([`hang`]): the host's tool tries on it what it does about a hang. `tests --ask SERVICE`
//! ([`ask`]) is a service's first client.
//!
//! Unsafe code lies in `raw`, which does what no safe program can.
//!
//! Deliberately absent: timing. A case may wait for an event, never for a while to be long enough.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

mod accessor;
pub mod areas;
pub mod ask;
mod case;
mod census;
mod child;
mod client;
pub mod die;
pub mod hang;
mod hogs;
mod object;
mod post;
mod raw;
mod rng;
mod run;
mod tap;

pub use case::{Case, Check, Verdict, World};
pub use run::{run, select};
pub use tap::{Summary, Tap};
