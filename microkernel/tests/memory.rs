//! Anonymous memory of a task, through its own traps and its own accesses.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::message::descriptor;
use abi::names::disposition;
use abi::trap;
use abi::vm::{MAX_ADDRESS, flags, inherit, map_flags, protection};
use sim::{Request, Sim, User, image};

const PAGE: u64 = abi::PAGE_SIZE;

fn allocate(me: &mut User<'_>, address: u64, size: u64, flags: u64) -> Result<u64, K> {
    me.trap(trap::VM_ALLOCATE, &[address, size, flags])
}

fn anywhere(me: &mut User<'_>, pages: u64) -> u64 {
    match allocate(me, 0, pages * PAGE, flags::ANYWHERE) {
        Ok(address) => address,
        Err(code) => panic!("no memory: {code:?}"),
    }
}

fn deallocate(me: &mut User<'_>, address: u64, size: u64) -> Result<u64, K> {
    me.trap(trap::VM_DEALLOCATE, &[address, size])
}

fn protect(me: &mut User<'_>, address: u64, size: u64, maximum: u64, to: u32) -> Result<u64, K> {
    me.trap(trap::VM_PROTECT, &[address, size, maximum, to.into()])
}

// covers: V-01
#[test]
fn new_memory_is_zero_and_one_s_own() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let address = anywhere(&mut me, 3);
    assert_eq!(address % PAGE, 0);
    for page in 0..3 {
        assert_eq!(me.peek::<16>(address + page * PAGE + 4000), [0; 16]);
    }
    me.poke(address + PAGE - 2, b"span");
    assert_eq!(me.peek::<4>(address + PAGE - 2), *b"span");
    let other = anywhere(&mut me, 1);
    assert!(other + PAGE <= address || other >= address + 3 * PAGE);
}

// covers: V-01
#[test]
fn allocate_refuses_what_cannot_be() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let at = anywhere(&mut me, 4);
    let fixed = |me: &mut User<'_>, address, size| allocate(me, address, size, flags::FIXED);
    for page in 0..4 {
        assert_eq!(
            fixed(&mut me, at + page * PAGE, PAGE),
            Err(K::NoSpace),
            "page {page}"
        );
    }
    assert_eq!(fixed(&mut me, 0, PAGE), Err(K::InvalidAddress));
    assert_eq!(fixed(&mut me, MAX_ADDRESS, PAGE), Err(K::InvalidAddress));
    assert_eq!(fixed(&mut me, 1 << 63, PAGE), Err(K::InvalidAddress));
    assert_eq!(
        allocate(&mut me, 0, u64::MAX, flags::ANYWHERE),
        Err(K::InvalidArgument)
    );
    assert_eq!(
        allocate(&mut me, 0, 1 << 60, flags::ANYWHERE),
        Err(K::NoSpace)
    );
    assert_eq!(
        allocate(&mut me, 0, PAGE, 0x8000_0000),
        Err(K::InvalidArgument)
    );
    assert_eq!(allocate(&mut me, 0, 0, flags::ANYWHERE), Ok(0));
}

// covers: V-02
#[test]
fn deallocated_memory_is_gone_and_comes_back_zeroed() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let at = anywhere(&mut me, 4);
    let before = me.pages_in_use();
    for page in 0..4 {
        me.poke(at + page * PAGE, &[0xee; 64]);
    }
    deallocate(&mut me, at + PAGE, 2 * PAGE).unwrap();
    assert_eq!(me.peek::<4>(at), [0xee; 4], "what is beside it stays");
    deallocate(&mut me, at, 4 * PAGE).unwrap();
    deallocate(&mut me, at, 4 * PAGE).unwrap();
    deallocate(&mut me, at, 0).unwrap();
    assert!(
        me.pages_in_use() <= before + 3,
        "the pages are given back, tables may stay"
    );
    assert_eq!(
        deallocate(&mut me, u64::MAX - PAGE, 2 * PAGE),
        Err(K::InvalidArgument)
    );
    assert_eq!(allocate(&mut me, at, 4 * PAGE, flags::FIXED), Ok(at));
    for page in 0..4 {
        assert_eq!(me.peek::<64>(at + page * PAGE), [0; 64]);
    }
}

// covers: V-03
#[test]
fn protection_goes_down_and_never_above_its_maximum() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (read, write) = (protection::READ, protection::READ | protection::WRITE);
    let at = anywhere(&mut me, 3);
    me.poke(at, b"kept");
    protect(&mut me, at, 3 * PAGE, 0, read).unwrap();
    assert_eq!(me.peek::<4>(at), *b"kept");
    protect(&mut me, at, 3 * PAGE, 0, write).unwrap();
    me.poke(at, b"more");
    protect(&mut me, at, PAGE, 1, read).unwrap();
    assert_eq!(
        protect(&mut me, at, PAGE, 0, write),
        Err(K::ProtectionFailure)
    );
    assert_eq!(
        protect(&mut me, at, PAGE, 1, write),
        Err(K::ProtectionFailure)
    );
    me.poke(at + PAGE, b"free");
    deallocate(&mut me, at + PAGE, PAGE).unwrap();
    assert_eq!(
        protect(&mut me, at, 3 * PAGE, 0, protection::NONE),
        Err(K::InvalidAddress)
    );
    assert_eq!(me.peek::<4>(at), *b"more", "nothing was changed in part");
    assert_eq!(protect(&mut me, at, 0, 0, read), Ok(0));
    assert_eq!(
        protect(&mut me, PAGE, u64::MAX - PAGE, 0, read),
        Err(K::InvalidArgument)
    );
}

// covers: V-06
#[test]
fn map_makes_anonymous_memory_with_the_rights_it_was_told() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let both = u64::from(protection::READ | protection::WRITE);
    let word = both << map_flags::CURRENT_SHIFT
        | both << map_flags::MAXIMUM_SHIFT
        | u64::from(inherit::COPY) << map_flags::INHERIT_SHIFT
        | map_flags::ANYWHERE;
    let at = me.trap(trap::VM_MAP, &[0, 0, 2 * PAGE, 0, word]).unwrap();
    assert_eq!(me.peek::<8>(at + PAGE), [0; 8]);
    me.poke(at + PAGE, b"anonymous");
    assert_eq!(
        me.trap(trap::VM_MAP, &[0, 0, 0, 0, word]),
        Err(K::InvalidArgument)
    );
    for size in [u64::MAX, u64::MAX - PAGE + 2] {
        let got = me.trap(trap::VM_MAP, &[0, 0, size, 0, word]);
        assert_eq!(got, Err(K::InvalidArgument), "size {size:#x}");
    }
    let executable = word | u64::from(protection::EXECUTE) << map_flags::CURRENT_SHIFT;
    assert!(
        me.trap(trap::VM_MAP, &[0, 0, PAGE, 0, executable]).is_err(),
        "W^X"
    );
}

#[test]
fn the_first_task_has_what_its_image_says() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    assert_eq!(me.peek::<8>(image::DATA + 16), image::PATTERN);
    assert_eq!(me.peek::<8>(image::DATA + PAGE), [0; 8]);
    assert_eq!(me.peek::<2>(image::CODE), [0x90; 2]);
    assert_eq!(
        me.peek::<8>(abi::start::ADDRESS),
        abi::start::MAGIC.to_le_bytes()
    );
    me.poke(image::DATA, b"own copy");
    assert_eq!(me.peek::<8>(image::DATA), *b"own copy");
}

/// Sends memory to oneself and takes the message; where its copy is.
fn send_memory(
    me: &mut User<'_>,
    range: (u64, u64),
    flags: u16,
    then: impl FnOnce(&mut User<'_>),
) -> u64 {
    let to = me.port();
    let mut request = Request::send(to).memory(range.0, range.1);
    request.body.get_or_insert_default().descriptors[0].flags = flags;
    assert_eq!(me.message(&request).code, MessageReturn::Success);
    then(me);
    let got = me.poll(to).right();
    assert_eq!((got.kind, got.size), (descriptor::OUT_OF_LINE, range.1));
    assert_eq!(me.destroy(to), Ok(()));
    got.address
}

// covers: M-23
#[test]
fn much_memory_goes_by_a_message_as_it_was() {
    const PAGES: u64 = 16_384;
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let at = anywhere(&mut me, PAGES);
    let written: Vec<u64> = (0..PAGES).step_by(1111).chain([PAGES - 1]).collect();
    let fill = |me: &mut User<'_>, change: u64| {
        for page in &written {
            me.poke(at + page * PAGE + 8, &(page ^ change).to_le_bytes());
        }
    };
    let compare = |me: &mut User<'_>, copy: u64| {
        for page in &written {
            assert_eq!(me.peek(copy + page * PAGE + 8), page.to_le_bytes());
            assert_eq!(me.peek::<8>(copy + page * PAGE), [0; 8]);
        }
        assert_eq!(me.peek::<8>(copy + 5 * PAGE), [0; 8]);
    };
    fill(&mut me, 0);
    // What the sender writes later does not show; nor what the receiver writes, to the sender.
    let whole = (at, PAGES * PAGE);
    let copy = send_memory(&mut me, whole, 0, |me| fill(me, 0xff));
    compare(&mut me, copy);
    me.poke(copy + 8, &[9]);
    assert_eq!(me.peek::<1>(at + 8), [0xff]);
    deallocate(&mut me, copy, PAGES * PAGE).unwrap();
    // It leaves the sender, as a whole.
    fill(&mut me, 0);
    let moved = send_memory(&mut me, whole, descriptor::DEALLOCATE, |_| ());
    compare(&mut me, moved);
    if moved != at {
        let gone = protect(&mut me, at, PAGES * PAGE, 0, protection::READ);
        assert_eq!(gone, Err(K::InvalidAddress));
    }
    deallocate(&mut me, moved, PAGES * PAGE).unwrap();
    // There is a bound.
    let most = 1 << 30;
    let at = anywhere(&mut me, most / PAGE + 1);
    let to = me.port();
    let beyond = Request::send(to).memory(at, most + PAGE);
    assert_eq!(me.message(&beyond).code, MessageReturn::SendNoBuffer);
    let just = Request::send(to).memory(at, most);
    assert_eq!(me.message(&just).code, MessageReturn::Success);
    assert_eq!(me.poll(to).right().size, most);
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: M-23
#[test]
fn memory_in_pieces_reaches_who_waits_whatever_it_takes_to_bring_it_there() {
    for case in 0..48 {
        let (descriptors, pages, flags) = (case % 4 + 1, case / 4 % 6 + 1, case / 24);
        let (mut sim, first) = Sim::single();
        let server = sim.add_task();
        let mut me = sim.on(server);
        me.register_buffer();
        let port = me.port();
        let send = sim.give(server, port, disposition::MAKE_SEND, first);
        sim.until_runs(server);
        let waits = sim.on(server).start_message(&Request::receive(port));
        assert!(waits.is_none());
        sim.until_runs(first);
        let mut me = sim.on(first);
        me.register_buffer();
        let total = descriptors * pages;
        let at = anywhere(&mut me, total);
        // Each page is a region of its own, and every second one was never touched.
        for page in (1..total).step_by(2) {
            protect(&mut me, at + page * PAGE, PAGE, 0, protection::READ).unwrap();
        }
        for page in (0..total).step_by(2) {
            me.poke(at + page * PAGE, &[page as u8 + 1]);
        }
        let mut request = Request::send(send);
        for n in 0..descriptors {
            request = request.memory(at + n * pages * PAGE, pages * PAGE);
        }
        for memory in &mut request.body.get_or_insert_default().descriptors {
            memory.flags = [0, descriptor::DEALLOCATE][flags as usize];
        }
        assert_eq!(me.message(&request).code, MessageReturn::Success);
        sim.until_runs(server);
        let got = sim.on(server).finish_message();
        assert_eq!(got.code, MessageReturn::Success);
        let body = got.body.unwrap();
        assert_eq!(body.descriptors.len() as u64, descriptors);
        for (n, memory) in (0..).zip(&body.descriptors) {
            for page in 0..pages {
                let number = n * pages + page;
                let byte = if number % 2 == 0 { number as u8 + 1 } else { 0 };
                let got = sim.on(server).peek::<1>(memory.address + page * PAGE);
                assert_eq!(got, [byte], "{descriptors} of {pages} pages, flags {flags}");
            }
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}
