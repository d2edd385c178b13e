//! [`Physical`]: words of physical memory, and `Simulated`, which is some for tests.

/// Physical memory that page tables and free frames lie in.
pub trait Physical {
    /// The word at a physical address, a multiple of 8.
    fn load(&self, address: u64) -> u64;
    /// Changes the word at a physical address, a multiple of 8.
    fn store(&mut self, address: u64, value: u64);
    /// Fills a page with zeros. The address is a multiple of 4096.
    fn clear_page(&mut self, address: u64);
}

/// Memory of a machine that does not exist. Everything is zero at first: pages are there from the first word on that is
/// stored in them, which keeps what empties many pages quick, for Miri too.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Simulated {
    pages: std::collections::BTreeMap<u64, std::boxed::Box<[u64; 512]>>,
}

#[cfg(test)]
impl Physical for Simulated {
    fn load(&self, address: u64) -> u64 {
        let (page, word) = split(address);
        self.pages.get(&page).map_or(0, |words| words[word])
    }

    fn store(&mut self, address: u64, value: u64) {
        let (page, word) = split(address);
        let words = self.pages.entry(page);
        words.or_insert_with(|| std::boxed::Box::new([0; 512]))[word] = value;
    }

    fn clear_page(&mut self, address: u64) {
        assert_eq!(address % 4096, 0);
        self.pages.remove(&(address / 4096));
    }
}

/// The page of an address, and which of its words it is.
#[cfg(test)]
fn split(address: u64) -> (u64, usize) {
    assert_eq!(address % 8, 0);
    (address / 4096, (address % 4096 / 8) as usize)
}
