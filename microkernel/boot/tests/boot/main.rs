//! The stub's logic on the host: whole boots in simulated memory, and each parser on good, cut and random input.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod loaders;
#[cfg(test)]
mod memory_map;
#[cfg(test)]
mod prepare;
#[cfg(test)]
mod requests;
