//! `vmmap`: the memory of a task.

use alloc::format;
use alloc::string::{String, ToString};

use interfaces::task::Region;
use libmach::abi::vm::{inherit, protection};

use super::{Done, Entry, id, target};
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;
use crate::table::Table;

pub(super) const ENTRY: Entry = Entry("vmmap TASK", "shows a task's memory");

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    let [which] = arguments else {
        return Err(Failure::Usage(ENTRY.0));
    };
    let task = target::find(shell, which)?;
    let mut table = Table::new([
        "START",
        "END",
        "KIB",
        "IN MEMORY",
        "LARGE",
        "MAY",
        "CHILD",
        "OBJECT",
    ]);
    let mut address = 0;
    loop {
        let page = task.client().regions(address)?;
        match page.last() {
            Some(last) if last.address.saturating_add(last.size) > address => {
                address = last.address.saturating_add(last.size);
            }
            _ => break,
        }
        for region in page.iter() {
            table.row(cells(region));
        }
    }
    Ok(session.stdout(table.text().as_bytes()).await?)
}

fn cells(region: &Region) -> [String; 8] {
    let child = match region.inherit {
        inherit::SHARE => "share",
        inherit::COPY => "copy",
        _ => "none",
    };
    [
        format!("{:#x}", region.address),
        format!("{:#x}", region.address.saturating_add(region.size)),
        (region.size / 1024).to_string(),
        (u64::from(region.resident) * 4).to_string(),
        match region.large {
            0 => String::from("-"),
            large => large.to_string(),
        },
        format!("{}/{}", letters(region.protection), letters(region.maximum)),
        String::from(child),
        id(region.object),
    ]
}

fn letters(bits: u32) -> String {
    [
        (protection::READ, 'r'),
        (protection::WRITE, 'w'),
        (protection::EXECUTE, 'x'),
    ]
    .iter()
    .map(|(bit, letter)| if bits & bit == 0 { '-' } else { *letter })
    .collect()
}

#[cfg(test)]
mod tests {
    use interfaces::task::Region;

    use super::cells;

    #[test]
    fn a_region_is_one_row() {
        let region = Region {
            address: 0x40_0000,
            size: 0x3000,
            protection: 5,
            maximum: 7,
            inherit: 1,
            resident: 2,
            object: 0,
            large: 0,
        };
        let mut expected = [
            "0x400000", "0x403000", "12", "8", "-", "r-x/rwx", "copy", "-",
        ];
        assert_eq!(cells(&region), expected);
        expected[4] = "3";
        assert_eq!(cells(&Region { large: 3, ..region }), expected);
    }
}
