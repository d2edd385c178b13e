//! The default pager: keeps, packed, what the kernel puts away when memory is short.
//!
//! It is the pager of one memory object, the kernel's store. What comes back is kept until it is asked for or to be forgotten;
//! what is supplied is not kept, since the kernel returns it anew. All of it is lost with the server: it is one that
//! everybody trusts, like the kernel, and it needs nobody but the kernel while it serves.
//!
//! Deliberately absent: a disk. The store is memory that is used better.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod server;
pub mod store;
