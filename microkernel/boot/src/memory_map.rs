//! The memory map: what the firmware says, what the stub takes from it, and what the kernel is told.
//!
//! Invariants, after every operation: regions are sorted, do not overlap, neighbours differ or do not touch;
//! usable and claimed regions begin and end at page boundaries. The page at address 0 may be usable, as base revision 3
//! allows.
//! The stub claims nothing below 1 MiB: what the firmware calls usable there stays usable, so that the kernel finds
//! its page for starting other CPUs.

use heapless::Vec;

use crate::error::Error;

/// Bytes in a page.
pub const PAGE: u64 = 4096;

/// The machine's memory that the system asks for, in bytes.
pub const MINIMUM_MEMORY: u64 = 64 << 20;

/// What firmware, video and ACPI tables may take of the machine's memory before it counts as too small.
const FIRMWARE_SHARE: u64 = 4 << 20;

/// The most pieces that the map has.
pub const MAX_REGIONS: usize = 256;

/// The stub reaches memory below this address only, and takes what it needs from there.
pub const REACH: u64 = 4 << 30;

/// The stub takes nothing below this address.
pub const FLOOR: u64 = 1 << 20;

/// Memory from here on is not offered: the direct map has no room for it.
const CEILING: u64 = 1 << 46;

/// What a region is for; the values are the boot protocol's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Kind {
    /// Free for the kernel.
    Usable = 0,
    /// Not memory, or the firmware's.
    Reserved = 1,
    /// ACPI tables.
    AcpiReclaimable = 2,
    /// ACPI non-volatile storage.
    AcpiNvs = 3,
    /// Faulty.
    Bad = 4,
    /// The stub's: its code, page tables, responses, and the kernel's first stack.
    Bootloader = 5,
    /// The loaded kernel and the modules.
    Executable = 6,
}

impl Kind {
    /// The kind that a memory map of ACPI's numbering (E820, PVH, Multiboot2) names by `number`.
    #[must_use]
    pub const fn from_firmware(number: u32) -> Self {
        match number {
            1 => Self::Usable,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Bad,
            _ => Self::Reserved,
        }
    }

    /// Whether the protocol puts it into the direct map (base revision 3): memory that is the kernel's to use, now or
    /// later. ACPI's tables, what is reserved and what is bad are not in it.
    #[must_use]
    pub const fn is_mapped(self) -> bool {
        matches!(self, Self::Usable | Self::Bootloader | Self::Executable)
    }

    /// Where regions overlap, the higher rank holds: firmware's doubts beat its offers, the stub's claims beat both.
    const fn rank(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::AcpiReclaimable => 1,
            Self::AcpiNvs => 2,
            Self::Reserved => 3,
            Self::Bad => 4,
            Self::Bootloader => 5,
            Self::Executable => 6,
        }
    }
}

/// A piece of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its first byte.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// What it is for.
    pub kind: Kind,
}

/// Which of the free places that are large enough is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// That with the highest address.
    #[default]
    HighestFirst,
    /// That with the lowest address, from [`FLOOR`] on.
    LowestFirst,
}

/// The map.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap {
    regions: Vec<Region, MAX_REGIONS>,
    /// Where memory is taken first.
    pub order: Order,
}

impl MemoryMap {
    /// An empty map, to be filled by [`Self::add`] and put in order by [`Self::settle`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            regions: Vec::new(),
            order: Order::HighestFirst,
        }
    }

    /// Takes up what the firmware says of one range; ranges that wrap are cut off, empty ones dropped.
    ///
    /// # Errors
    /// [`Error::TooManyRegions`].
    pub fn add(&mut self, start: u64, length: u64, kind: Kind) -> Result<(), Error> {
        let end = start.saturating_add(length).min(CEILING);
        if start >= end {
            return Ok(());
        }
        let region = Region { start, end, kind };
        self.regions.push(region).map_err(|_| Error::TooManyRegions)
    }

    /// Puts the firmware's entries in order: see the invariants above.
    ///
    /// # Errors
    /// [`Error::NoMemoryMap`], [`Error::TooManyRegions`], [`Error::LittleMemory`].
    pub fn settle(&mut self) -> Result<(), Error> {
        self.resolve()?;
        for region in &mut self.regions {
            if region.kind == Kind::Usable {
                region.start = region.start.next_multiple_of(PAGE);
                region.end -= region.end % PAGE;
            }
        }
        self.regions.retain(|region| region.start < region.end);
        if self.regions.is_empty() {
            return Err(Error::NoMemoryMap);
        }
        let usable = self.usable();
        if usable < MINIMUM_MEMORY - FIRMWARE_SHARE {
            return Err(Error::LittleMemory(usable));
        }
        Ok(())
    }

    /// The pieces, in ascending order.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// How many bytes are usable.
    #[must_use]
    pub fn usable(&self) -> u64 {
        let usable = self
            .regions
            .iter()
            .filter(|region| region.kind == Kind::Usable);
        usable.map(|region| region.end - region.start).sum()
    }

    /// Whether all of `start..end` is usable.
    #[must_use]
    pub fn is_usable(&self, start: u64, end: u64) -> bool {
        self.regions
            .iter()
            .any(|region| region.kind == Kind::Usable && region.start <= start && end <= region.end)
    }

    /// Takes the pages that `start..end` touches.
    ///
    /// # Errors
    /// [`Error::TooManyRegions`].
    pub fn claim(&mut self, start: u64, end: u64, kind: Kind) -> Result<(), Error> {
        let start = start - start % PAGE;
        let end = end.min(CEILING).next_multiple_of(PAGE);
        self.add(start, end.saturating_sub(start), kind)?;
        self.resolve()
    }

    /// Takes what is usable below [`FLOOR`].
    ///
    /// # Errors
    /// [`Error::TooManyRegions`].
    pub fn claim_low(&mut self, kind: Kind) -> Result<(), Error> {
        for region in &mut self.regions {
            if region.kind == Kind::Usable && region.end <= FLOOR {
                region.kind = kind;
            }
        }
        self.resolve()
    }

    /// Finds and claims `length` bytes of reachable memory, in the map's order, for the purpose `what`.
    ///
    /// # Errors
    /// [`Error::NoRoom`], [`Error::TooManyRegions`].
    pub fn allocate(&mut self, what: &'static str, length: u64, kind: Kind) -> Result<u64, Error> {
        let no_room = Error::NoRoom(what, length);
        let size = length
            .max(1)
            .checked_next_multiple_of(PAGE)
            .ok_or(no_room)?;
        let usable = self
            .regions
            .iter()
            .filter(|region| region.kind == Kind::Usable);
        let mut fitting = usable.filter_map(|region| {
            let lowest = region.start.max(FLOOR);
            let highest = region.end.min(REACH).checked_sub(size)?;
            (lowest <= highest).then_some((lowest, highest))
        });
        let start = match self.order {
            Order::HighestFirst => fitting.next_back().map(|(_, highest)| highest),
            Order::LowestFirst => fitting.next().map(|(lowest, _)| lowest),
        };
        let start = start.ok_or(no_room)?;
        self.claim(start, start + size, kind)?;
        Ok(start)
    }

    /// Cuts the ranges at each other's ends, keeps the highest rank for each piece, joins equal neighbours.
    fn resolve(&mut self) -> Result<(), Error> {
        let mut cuts: Vec<u64, { 2 * MAX_REGIONS }> = Vec::new();
        for region in &self.regions {
            for cut in [region.start, region.end] {
                cuts.push(cut).map_err(|_| Error::TooManyRegions)?;
            }
        }
        cuts.sort_unstable();
        let mut settled: Vec<Region, MAX_REGIONS> = Vec::new();
        for pair in cuts.windows(2) {
            let &[start, end] = pair else { continue };
            let covering = self
                .regions
                .iter()
                .filter(|region| region.start <= start && end <= region.end);
            let Some(kind) = covering
                .map(|region| region.kind)
                .max_by_key(|kind| kind.rank())
            else {
                continue;
            };
            if start == end {
                continue;
            }
            match settled.last_mut() {
                Some(last) if last.end == start && last.kind == kind => last.end = end,
                _ => settled
                    .push(Region { start, end, kind })
                    .map_err(|_| Error::TooManyRegions)?,
            }
        }
        self.regions = settled;
        Ok(())
    }
}
