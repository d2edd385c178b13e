//! The names and memory that a generator knows of.

use abi::PAGE_SIZE;
use abi::names::{Name, port_type};

use crate::rng::Rng;

/// How many names are remembered as alive, and how many as dead.
const NAMES: usize = 64;
const STALE: usize = 32;
/// How many pieces of memory.
const REGIONS: usize = 24;
/// How many that answer.
const SERVICES: usize = 12;
/// How many names of other tasks.
const FOREIGN: usize = 16;

/// A name that was alive when it was last heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Known {
    name: Name,
    bits: u32,
}

/// Something that answers calls: its name, and that of its interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) interface: &'static str,
    /// The task made it, and does not run on it.
    pub(crate) is_made: bool,
}

/// A piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Region {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// Names and memory.
#[derive(Clone, Debug)]
pub struct Pool {
    known: [Known; NAMES],
    stale: [Name; STALE],
    foreign: [Name; FOREIGN],
    regions: [Region; REGIONS],
    /// What was last known to be the name of something that answers.
    services: [Service; SERVICES],
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            known: [Known::default(); NAMES],
            stale: [Name::NULL; STALE],
            foreign: [Name::NULL; FOREIGN],
            regions: [Region::default(); REGIONS],
            services: [Service::default(); SERVICES],
        }
    }
}

impl Pool {
    /// A name that the task has, with bits of [`port_type`].
    pub fn add(&mut self, name: Name, bits: u32, rng: &mut Rng) {
        if !name.is_valid() {
            return;
        }
        let same = self.known.iter().position(|known| known.name == name);
        let free = || self.known.iter().position(|known| !known.name.is_valid());
        let place = same.or_else(free).unwrap_or_else(|| rng.below(NAMES));
        let before = self.known[place];
        let kept = if before.name == name { before.bits } else { 0 };
        self.known[place] = Known {
            name,
            bits: kept | bits,
        };
    }

    /// Something that answers calls: a kernel object or a server, and its interface, if that is known.
    pub fn add_service(&mut self, name: Name, interface: &'static str, rng: &mut Rng) {
        if !name.is_valid() {
            return;
        }
        let place = |known: &Service| known.name == name || !known.name.is_valid();
        let found = self.services.iter().position(place);
        let place = found.unwrap_or_else(|| rng.below(SERVICES));
        self.services[place] = Service {
            name,
            interface,
            is_made: false,
        };
        self.add(name, port_type::SEND, rng);
    }

    /// What a service is was made by the task itself: it may be ended at will.
    pub(crate) fn note_made(&mut self, name: Name) {
        let mut all = self.services.iter_mut();
        if let Some(service) = all.find(|service| service.name == name) {
            service.is_made = true;
        }
    }

    /// A service of an interface, if one is known.
    pub(crate) fn service_of(&self, interface: &str, rng: &mut Rng) -> Option<Name> {
        let start = rng.below(SERVICES);
        let mut all = self.services.iter().cycle().skip(start).take(SERVICES);
        all.find(|service| service.name.is_valid() && service.interface == interface)
            .map(|service| service.name)
    }

    /// A name of another task, which should mean nothing here.
    pub fn add_foreign(&mut self, name: Name, rng: &mut Rng) {
        self.foreign[rng.below(FOREIGN)] = name;
    }

    /// A name may be dead now.
    pub(crate) fn doubt(&mut self, name: Name, rng: &mut Rng) {
        for known in &mut self.known {
            if known.name == name {
                *known = Known::default();
                self.stale[rng.below(STALE)] = name;
            }
        }
        for service in &mut self.services {
            if service.name == name {
                *service = Service::default();
            }
        }
    }

    /// A piece of memory that the task has.
    pub fn add_region(&mut self, address: u64, size: u64, rng: &mut Rng) {
        let free = self.regions.iter().position(|region| region.size == 0);
        let place = free.unwrap_or_else(|| rng.below(REGIONS));
        self.regions[place] = Region { address, size };
    }

    /// The memory there may be gone.
    pub(crate) fn doubt_region(&mut self, address: u64) {
        for region in &mut self.regions {
            if region.address == address {
                *region = Region::default();
            }
        }
    }

    /// Any of the pieces of memory; an empty one when there is none.
    pub(crate) fn region(&self, rng: &mut Rng) -> Region {
        let start = rng.below(REGIONS);
        let mut all = self.regions.iter().cycle().skip(start).take(REGIONS);
        all.find(|region| region.size > 0)
            .copied()
            .unwrap_or_default()
    }

    /// How large the piece of memory is that begins at an address.
    pub(crate) fn size_of(&self, address: u64) -> Option<u64> {
        let mut all = self.regions.iter();
        all.find(|region| region.size > 0 && region.address == address)
            .map(|region| region.size)
    }

    /// An address in a piece of memory, or at its edges.
    pub(crate) fn address(&self, rng: &mut Rng) -> u64 {
        let Region { address, size } = self.region(rng);
        match rng.below(8) {
            0 => address.wrapping_add(size),
            1 => address.wrapping_add(size).wrapping_sub(1),
            2 => address.wrapping_sub(PAGE_SIZE),
            3 => address.wrapping_add(rng.below(size.max(1) as usize) as u64),
            4 => address.wrapping_add(PAGE_SIZE),
            _ => address,
        }
    }

    /// Something that answers calls; when nothing is known to, anything.
    pub(crate) fn service(&self, rng: &mut Rng) -> Service {
        let start = rng.below(SERVICES);
        let mut all = self.services.iter().cycle().skip(start).take(SERVICES);
        match all.find(|service| service.name.is_valid()) {
            Some(service) if !rng.one_in(32) => *service,
            _ => Service {
                name: self.name(port_type::SEND, rng),
                interface: "",
                is_made: false,
            },
        }
    }

    /// What was last known of a name, bits of [`port_type`]; 0 of others.
    pub(crate) fn bits(&self, name: Name) -> u32 {
        let mut all = self.known.iter();
        all.find(|known| known.name == name)
            .map_or(0, |known| known.bits)
    }

    /// A name of a kind, mostly; `u32::MAX` for any.
    pub fn name(&self, bits: u32, rng: &mut Rng) -> Name {
        match rng.below(32) {
            0 => rng.pick(&[Name::NULL, Name::DEAD, Name::REPLY_SLOT]),
            1 => rng.pick(&self.stale),
            2 => rng.pick(&self.foreign),
            3 => Name(rng.word() as u32),
            4 => {
                // Another generation of the same place, or the next place.
                let name = self.live(u32::MAX, rng);
                rng.pick(&[
                    Name(name.0 ^ 1),
                    Name(name.0.wrapping_add(1)),
                    Name(name.0.wrapping_add(0x100)),
                ])
            }
            5 => self.live(u32::MAX, rng),
            _ => self.live(bits, rng),
        }
    }

    fn live(&self, bits: u32, rng: &mut Rng) -> Name {
        let start = rng.below(NAMES);
        let mut all = self.known.iter().cycle().skip(start).take(NAMES);
        all.find(|known| known.name.is_valid() && known.bits & bits != 0)
            .map_or(Name::NULL, |known| known.name)
    }

    /// How many names are remembered as alive.
    pub(crate) fn count(&self) -> usize {
        let alive = self.known.iter().filter(|known| known.name.is_valid());
        alive.count()
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Pool};
    use crate::rng::Rng;
    use abi::names::{Name, port_type};

    #[test]
    fn names_are_found_by_kind_and_forgotten_when_doubted() {
        let (mut pool, mut rng) = (Pool::default(), Rng::new(1));
        pool.add(Name(0x200), port_type::RECEIVE, &mut rng);
        pool.add(Name(0x300), port_type::SEND, &mut rng);
        pool.add(Name(0x200), port_type::SEND, &mut rng);
        assert_eq!(pool.live(port_type::RECEIVE, &mut rng), Name(0x200));
        pool.doubt(Name(0x200), &mut rng);
        assert_eq!(pool.live(port_type::RECEIVE, &mut rng), Name::NULL);
        assert_eq!(pool.count(), 1);
        for n in 0..1000 {
            pool.add(Name::new(n, 1), port_type::SEND, &mut rng);
        }
        assert_eq!(pool.count(), NAMES);
    }
}
