//! Choosing cases and running them.

use alloc::vec::Vec;

use libmach::Result;

use crate::areas;
use crate::case::{Case, World};
use crate::tap::Tap;

/// The cases whose `area: name` contains one of the filters; all when there is no filter.
pub fn select(filters: &[&str]) -> Vec<Case> {
    let wanted = |case: &Case| {
        let full = alloc::format!("{}: {}", case.area, case.name);
        filters.is_empty() || filters.iter().any(|filter| full.contains(filter))
    };
    let all = areas::ALL.iter().flat_map(|area| area.iter());
    all.copied().filter(wanted).collect()
}

/// Runs the chosen cases; the program's exit status: 0, or 1 when one failed.
///
/// # Errors
/// When the report cannot be written.
pub fn run(world: &World, filters: &[&str]) -> Result<u8> {
    let cases = select(filters);
    let mut tap = Tap::default();
    world.write(&Tap::plan(cases.len()))?;
    for case in &cases {
        let result = (case.run)(world);
        world.write(&tap.line(case, &result))?;
    }
    Ok(u8::from(tap.summary().failed > 0))
}
