//! [`Store`]: pages by their place, packed.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use libmach::pager::PAGE;

/// A packed page that is not smaller than this is kept as it is.
const WORTH: usize = PAGE * 7 / 8;

/// How a page is kept.
#[derive(Debug)]
enum Kept {
    /// All of its words are this one.
    Filled(u64),
    /// As LZ4 packs it.
    Packed(Box<[u8]>),
    /// As it is: it cannot be packed.
    Plain(Box<[u8]>),
}

/// Pages, by their number.
#[derive(Debug)]
pub struct Store {
    pages: BTreeMap<u64, Kept>,
    bytes: usize,
    /// Where pages are packed.
    scratch: Vec<u8>,
}

/// What was to be kept is no whole page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPage;

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// Nothing.
    pub fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            bytes: 0,
            scratch: vec![0; lz4_flex::block::get_maximum_output_size(PAGE)],
        }
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many bytes their contents take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a page instead of what was there.
    ///
    /// # Errors
    /// [`NoPage`]: nothing changed.
    pub fn keep(&mut self, number: u64, page: &[u8]) -> Result<(), NoPage> {
        if page.len() != PAGE {
            return Err(NoPage);
        }
        let kept = match fill_of(page) {
            Some(word) => Kept::Filled(word),
            None => self.pack(page),
        };
        self.forget(number);
        self.bytes += kept.bytes();
        self.pages.insert(number, kept);
        Ok(())
    }

    fn pack(&mut self, page: &[u8]) -> Kept {
        match lz4_flex::block::compress_into(page, &mut self.scratch) {
            Ok(size) if size < WORTH => Kept::Packed(self.scratch[..size].into()),
            _ => Kept::Plain(page.into()),
        }
    }

    /// Takes a page out, into `page` of [`PAGE`] bytes; `false`: it is not there, and `page` is unchanged.
    pub fn take(&mut self, number: u64, page: &mut [u8]) -> bool {
        if page.len() != PAGE {
            return false;
        }
        let Some(kept) = self.pages.remove(&number) else {
            return false;
        };
        self.bytes -= kept.bytes();
        match kept {
            Kept::Filled(word) => {
                for place in page.chunks_exact_mut(8) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
                true
            }
            Kept::Plain(bytes) => {
                page.copy_from_slice(&bytes);
                true
            }
            Kept::Packed(bytes) => {
                lz4_flex::block::decompress_into(&bytes, page).is_ok_and(|size| size == PAGE)
            }
        }
    }

    /// Forgets a page, if it is there.
    pub fn forget(&mut self, number: u64) {
        if let Some(kept) = self.pages.remove(&number) {
            self.bytes -= kept.bytes();
        }
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Self::Filled(_) => 0,
            Self::Packed(bytes) | Self::Plain(bytes) => bytes.len(),
        }
    }
}

/// The word that a page consists of.
fn fill_of(page: &[u8]) -> Option<u64> {
    let (first, rest) = page.split_first_chunk::<8>()?;
    let same = rest.chunks_exact(8).all(|word| word == first);
    same.then(|| u64::from_le_bytes(*first))
}
