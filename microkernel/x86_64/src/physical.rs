//! [`Physical`]: words of physical memory, and [`Simulated`], which is some for tests.

/// Physical memory that page tables and free frames lie in.
pub trait Physical {
    /// The word at a physical address, a multiple of 8.
    fn load(&self, address: u64) -> u64;
    /// Changes the word at a physical address, a multiple of 8.
    fn store(&mut self, address: u64, value: u64);
    /// Fills a page with zeros. The address is a multiple of 4096.
    fn clear_page(&mut self, address: u64);
}

/// Memory of a machine that does not exist. Everything is zero at first.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Simulated {
    words: std::collections::BTreeMap<u64, u64>,
}

#[cfg(test)]
impl Physical for Simulated {
    fn load(&self, address: u64) -> u64 {
        assert_eq!(address % 8, 0);
        self.words.get(&address).copied().unwrap_or(0)
    }

    fn store(&mut self, address: u64, value: u64) {
        assert_eq!(address % 8, 0);
        self.words.insert(address, value);
    }

    fn clear_page(&mut self, address: u64) {
        assert_eq!(address % 4096, 0);
        for word in (address..address + 4096).step_by(8) {
            self.words.remove(&word);
        }
    }
}
