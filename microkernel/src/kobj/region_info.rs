//! A region as Mach's structures lay it out, in words of 32 bits.

use abi::PAGE_SIZE;
use abi::vm::region::share_mode;
use interfaces::bounded::List;
use interfaces::vm::Region;

use crate::vm::{RegionInfo, Sharing};

/// `vm_region_basic_info_64`: protection, maximum, inheritance, shared, reserved, offset (2), behaviour, wired count.
pub(super) fn basic(region: &RegionInfo) -> Region {
    let shared = u32::from(region.sharing == Sharing::Shared);
    let [low, high] = halves(region.offset);
    answer(
        region,
        &[
            region.protection,
            region.maximum,
            region.inheritance,
            shared,
            0,
            low,
            high,
            region.behavior,
            region.wires,
        ],
    )
}

/// `vm_region_extended_info`: protection, tag, pages resident, shared-now-private, swapped out, dirtied, references,
/// shadow depth and share mode, pages reusable.
pub(super) fn extended(region: &RegionInfo) -> Region {
    let resident = pages(region, region.resident);
    let packed = packed_mode(region);
    answer(
        region,
        &[
            region.protection,
            0,
            resident,
            0,
            pages(region, region.swapped),
            resident,
            region.references,
            packed,
            0,
        ],
    )
}

/// `vm_region_top_info`: object, references, pages private and shared, share mode.
pub(super) fn top(region: &RegionInfo) -> Region {
    let shared = matches!(region.sharing, Sharing::Shared | Sharing::Physical);
    let resident = pages(region, region.resident);
    let (private, shared) = if shared { (0, resident) } else { (resident, 0) };
    let [object, _] = halves(region.object);
    answer(
        region,
        &[object, region.references, private, shared, mode(region)],
    )
}

/// `vm_region_submap_info_64`, as for a region of the map itself.
pub(super) fn submap(region: &RegionInfo) -> Region {
    let [low, high] = halves(region.offset);
    let [object, generation] = halves(region.object);
    let resident = pages(region, region.resident);
    answer(
        region,
        &[
            region.protection,
            region.maximum,
            region.inheritance,
            low,
            high,
            0,
            resident,
            0,
            pages(region, region.swapped),
            resident,
            region.references,
            packed_mode(region),
            0,
            region.behavior,
            object,
            region.wires,
            0,
            object,
            generation,
        ],
    )
}

fn answer(region: &RegionInfo, words: &[u32]) -> Region {
    let mut info = List::default();
    for word in words {
        let room = info.push(*word);
        debug_assert!(room, "the list holds every flavour");
    }
    Region {
        address: region.start,
        size: region.size,
        info,
    }
}

/// Shadow depth (16 bits), external pager (8), share mode (8).
fn packed_mode(region: &RegionInfo) -> u32 {
    region.depth.min(0xffff) | u32::from(region.paged) << 16 | mode(region) << 24
}

fn mode(region: &RegionInfo) -> u32 {
    match region.sharing {
        Sharing::Empty => share_mode::EMPTY,
        Sharing::Private => share_mode::PRIVATE,
        Sharing::CopyOnWrite => share_mode::COPY_ON_WRITE,
        Sharing::Shared | Sharing::Physical => share_mode::SHARED,
    }
}

fn pages(region: &RegionInfo, pages: u64) -> u32 {
    let most = region.size / PAGE_SIZE;
    u32::try_from(pages.min(most)).unwrap_or(u32::MAX)
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}
