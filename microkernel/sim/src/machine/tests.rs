use super::{SimMachine, Size};
use crate::machine::memory::POISON;
use abi::vm::protection::{EXECUTE, READ, WRITE};
use microkernel::machine::{Access, Caching, Cpu, Machine, NEVER, Next, Page, Root};

const A: u64 = 0x1_0000;

/// A machine whose CPUs all run a thread of their own in one space.
fn machine(cpus: u32) -> (SimMachine, Root) {
    let mut machine = SimMachine::new(Size {
        cpus,
        pages: 64,
        ..Size::default()
    });
    let root = machine.create_space().unwrap();
    for cpu in 0..cpus {
        machine.create_frame(cpu).unwrap();
        machine.frame(cpu).root = root.0;
        machine.enter(Cpu(cpu));
        machine.leave(Cpu(cpu), Next::Run(cpu));
    }
    (machine, root)
}

/// What a kernel does between two events, on CPU 0.
fn inside<T>(machine: &mut SimMachine, body: impl FnOnce(&mut SimMachine) -> T) -> T {
    machine.enter(Cpu(0));
    let result = body(machine);
    machine.leave(Cpu(0), Next::Run(0));
    result
}

fn map(machine: &mut SimMachine, root: Root, protection: u32) -> Page {
    let page = machine.allocate_page().unwrap();
    machine
        .map(root, A, page, protection, Caching::WriteBack)
        .unwrap();
    page
}

#[test]
fn pages_are_poisoned_until_zeroed_and_counted() {
    let (mut machine, _) = machine(1);
    let before = machine.free_pages();
    let page = machine.allocate_page().unwrap();
    assert_eq!(machine.free_pages(), before - 1);
    let mut bytes = [0; 4];
    machine.read((page, 100), &mut bytes);
    assert_eq!(bytes, [POISON; 4]);
    machine.zero_page(page);
    machine.write((page, 102), &[7]);
    let other = machine.allocate_page().unwrap();
    machine.copy((page, 100), (other, 4092), 4);
    assert_eq!(machine.read_u32((other, 4092)), 7 << 16);
}

#[test]
fn a_freed_page_is_not_given_out_in_the_same_call() {
    let (mut machine, _) = machine(1);
    let before = machine.free_pages();
    inside(&mut machine, |machine| {
        let page = machine.allocate_page().unwrap();
        machine.free_page(page);
        assert_eq!(machine.free_pages(), before - 1, "in quarantine");
    });
    assert_eq!(machine.free_pages(), before);
}

#[test]
#[should_panic(expected = "not allocated")]
fn freeing_twice_is_found() {
    let (mut machine, _) = machine(1);
    let page = machine.allocate_page().unwrap();
    machine.free_page(page);
    machine.free_page(page);
}

#[test]
fn another_cpu_forgets_a_mapping_at_the_flush() {
    let (mut machine, root) = machine(2);
    let page = inside(&mut machine, |machine| map(machine, root, READ));
    assert_eq!(machine.translate(Cpu(1), A + 5, Access::Read), Some(page));
    assert_eq!(machine.translate(Cpu(1), A, Access::Write), None);
    inside(&mut machine, |machine| {
        machine.unmap(root, A..A + 4096);
        machine.flush(root, A..A + 4096);
        machine.free_page(page);
    });
    assert_eq!(machine.translate(Cpu(1), A, Access::Read), None);
}

#[test]
#[should_panic(expected = "a flush is missing")]
fn unmapping_without_a_flush_is_found() {
    let (mut machine, root) = machine(2);
    inside(&mut machine, |machine| map(machine, root, READ));
    inside(&mut machine, |machine| machine.unmap(root, A..A + 4096));
}

#[test]
#[should_panic(expected = "a flush is missing")]
fn protecting_without_a_flush_is_found() {
    let (mut machine, root) = machine(1);
    inside(&mut machine, |machine| map(machine, root, READ | WRITE));
    inside(&mut machine, |machine| {
        machine.protect(root, A..A + 4096, READ)
    });
}

#[test]
#[should_panic(expected = "a flush is missing")]
fn replacing_a_page_without_a_flush_is_found() {
    let (mut machine, root) = machine(1);
    inside(&mut machine, |machine| map(machine, root, READ));
    inside(&mut machine, |machine| map(machine, root, READ | WRITE));
}

#[test]
fn more_rights_need_no_flush_but_a_second_look() {
    let (mut machine, root) = machine(1);
    let page = inside(&mut machine, |machine| map(machine, root, READ));
    inside(&mut machine, |machine| {
        machine
            .map(root, A, page, READ | WRITE, Caching::WriteBack)
            .unwrap();
    });
    assert_eq!(
        machine.translate(Cpu(0), A, Access::Write),
        None,
        "from the cache"
    );
    assert_eq!(machine.translate(Cpu(0), A, Access::Write), Some(page));
}

#[test]
#[should_panic(expected = "still reaches it")]
fn freeing_a_mapped_page_is_found() {
    let (mut machine, root) = machine(1);
    let page = inside(&mut machine, |machine| map(machine, root, READ));
    inside(&mut machine, |machine| machine.free_page(page));
}

#[test]
#[should_panic(expected = "writable and executable")]
fn writable_and_executable_is_refused() {
    let (mut machine, root) = machine(1);
    map(&mut machine, root, WRITE | EXECUTE);
}

#[test]
#[should_panic(expected = "registers of a thread that runs")]
fn the_frame_of_a_running_thread_is_its_own() {
    let (mut machine, _) = machine(2);
    inside(&mut machine, |machine| machine.frame(1).rax = 1);
}

#[test]
#[should_panic(expected = "already runs")]
fn a_thread_runs_on_one_cpu_at_a_time() {
    let (mut machine, _) = machine(2);
    machine.enter(Cpu(0));
    machine.leave(Cpu(0), Next::Run(1));
}

#[test]
fn tables_are_counted_and_a_destroyed_space_leaves_nothing() {
    let (mut machine, _) = machine(1);
    let before = machine.free_pages();
    let root = machine.create_space().unwrap();
    assert_eq!(machine.table_pages(root), 1);
    let page = map(&mut machine, root, READ);
    assert_eq!(machine.table_pages(root), 4, "one a level");
    machine.free_page(page);
    inside(
        &mut machine,
        |machine| while !machine.destroy_space(root) {},
    );
    assert_eq!(machine.free_pages(), before);
    assert!(!machine.spaces.exists(root));
}

#[test]
fn memory_that_runs_out_is_an_error_that_changes_nothing() {
    let (mut machine, root) = machine(1);
    let page = machine.allocate_page().unwrap();
    machine.memory.limit(Some(2));
    assert!(
        machine
            .map(root, A, page, READ, Caching::WriteBack)
            .is_err(),
        "three tables"
    );
    assert_eq!((machine.free_pages(), machine.table_pages(root)), (2, 1));
    machine.memory.limit(None);
    machine
        .map(root, A, page, READ, Caching::WriteBack)
        .unwrap();
}

#[test]
fn timers_lines_and_kicks_fire_once() {
    let (mut machine, _) = machine(2);
    machine.set_timer(Cpu(1), 50);
    assert!(!machine.take_due_timer(Cpu(1)));
    machine.advance(50);
    assert!(machine.take_due_timer(Cpu(1)));
    assert_eq!(machine.timer(Cpu(1)), NEVER);
    machine.raise(3);
    assert_eq!(machine.take_interrupt(), None, "masked at first");
    assert!(machine.unmask_interrupt(3) && !machine.unmask_interrupt(99));
    assert_eq!(
        (machine.take_interrupt(), machine.take_interrupt()),
        (Some(3), None)
    );
    inside(&mut machine, |machine| machine.kick(Cpu(1)));
    assert!(machine.take_kick(Cpu(1)) && !machine.take_kick(Cpu(1)));
}
