//! What a program starts with: its rights by name, its arguments, its environment.

use abi::names::Name;
use abi::start::Page;

/// The start page, read.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    page: &'static Page,
}

impl Context {
    /// Reads a start page. What it says is believed: it comes from the task's creator.
    pub(crate) const fn new(page: &'static Page) -> Self {
        Self { page }
    }

    /// The port name of the right that the manifest calls `name`, or `None`.
    ///
    /// Only the name: [`Context::right`] gives an owned right.
    pub fn port(&self, name: &str) -> Option<Name> {
        let count = (self.page.right_count as usize).min(abi::start::MAX_RIGHTS);
        self.page.rights[..count]
            .iter()
            .find(|right| text_of(&right.name) == name.as_bytes())
            .map(|right| Name(right.port))
    }

    /// The program's arguments, the first one its name.
    pub fn arguments(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.strings().take(self.page.argument_count as usize)
    }

    /// The value of an environment variable.
    pub fn variable(&self, key: &str) -> Option<&'static str> {
        self.strings()
            .skip(self.page.argument_count as usize)
            .take(self.page.environment_count as usize)
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(found, value)| (found == key).then_some(value))
    }

    /// The task's identity token, which its messages carry.
    pub fn identity(&self) -> u64 {
        self.page.identity
    }

    fn strings(&self) -> impl Iterator<Item = &'static str> + use<> {
        let size = (self.page.strings_size as usize).min(abi::start::STRINGS_SIZE);
        self.page.strings[..size]
            .split(|byte| *byte == 0)
            .map(|text| core::str::from_utf8(text).unwrap_or("\u{fffd}"))
    }
}

/// The bytes before the zero padding.
fn text_of(padded: &[u8]) -> &[u8] {
    let end = padded
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(padded.len());
    &padded[..end]
}
