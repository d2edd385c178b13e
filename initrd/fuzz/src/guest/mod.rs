//! The program: a [`campaign`] runs one task after the other, each of them a [`life`], beside a
//! [`witness`]. What no safe program can do is in [`raw`].

pub(crate) mod campaign;
pub(crate) mod life;
mod raw;
mod witness;
