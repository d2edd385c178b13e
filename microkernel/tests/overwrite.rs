//! `vm_map` with `OVERWRITE` beside another thread of the task, which uses the range between the steps.

use abi::kern_return::KernReturn as K;
use abi::trap;
use abi::vm::{flags, inherit, map_flags, protection};
use microkernel::machine::{Cpu, Event, FrameIndex, Machine as _, Next};
use sim::{Answer, Config, Sim};

const PAGE: u64 = abi::PAGE_SIZE;
const PAGES: u64 = 200;
/// Pages at either end that are not replaced.
const EDGE: u64 = 3;
/// What every page of the old memory begins with; the new memory is zero.
const OLD: u8 = 7;

/// A task with two threads, each on a CPU, and memory that is written.
struct Scene {
    sim: Sim,
    threads: [FrameIndex; 2],
    at: u64,
}

impl Scene {
    fn new() -> Self {
        let mut sim = Sim::boot(Config::with_cpus(3));
        let task = sim.add_task();
        let threads = [task, sim.add_thread(task)];
        for thread in threads {
            sim.until_runs(thread);
        }
        let mut me = sim.on(task);
        let memory = [0, PAGES * PAGE, flags::ANYWHERE];
        let at = me.trap(trap::VM_ALLOCATE, &memory).expect("room");
        for page in 0..PAGES {
            me.poke(at + page * PAGE, &[OLD]);
        }
        // Regions of several kinds.
        for page in (0..PAGES).step_by(30) {
            let read = [at + page * PAGE, PAGE, 0, protection::READ.into()];
            me.trap(trap::VM_PROTECT, &read).expect("it is there");
        }
        Self { sim, threads, at }
    }

    /// What is replaced.
    fn range(&self) -> (u64, u64) {
        (self.at + EDGE * PAGE, (PAGES - 2 * EDGE) * PAGE)
    }

    /// The first steps of an overwriting; `None`: it was done before.
    fn begin(&mut self, steps: u32) -> Option<Cpu> {
        let (address, size) = self.range();
        let rights = u64::from(protection::READ | protection::WRITE);
        let word = map_flags::OVERWRITE
            | rights << map_flags::CURRENT_SHIFT
            | rights << map_flags::MAXIMUM_SHIFT
            | u64::from(inherit::COPY) << map_flags::INHERIT_SHIFT;
        let cpu = self.sim.until_runs(self.threads[0]);
        let arguments = [0, address, size, 0, word];
        self.sim.load_trap(cpu, trap::VM_MAP, &arguments);
        let next = self.sim.event_steps(cpu, Event::Trap, steps);
        (next == Next::Continue).then_some(cpu)
    }

    /// The other steps.
    fn finish(&mut self, cpu: Cpu) -> Answer {
        self.sim.event(cpu, Event::Continue);
        let mut me = self.sim.on(self.threads[0]);
        me.finish()
    }

    /// What the other thread finds in a page of the range.
    fn look(&mut self, page: u64) -> u8 {
        let [found] = self.sim.on(self.threads[1]).peek(self.at + page * PAGE);
        found
    }

    fn check(&self) {
        assert_eq!(self.sim.kernel.check(&self.sim.machine), Ok(()));
    }
}

// covers: V-07
#[test]
fn another_thread_meets_the_old_or_the_new_memory_and_never_a_hole() {
    let (mut before, mut after) = (0, 0);
    for steps in 1.. {
        let mut scene = Scene::new();
        let Some(cpu) = scene.begin(steps) else {
            break;
        };
        let replaced = scene.look(EDGE) != OLD;
        for page in 0..PAGES {
            let new = replaced && (EDGE..PAGES - EDGE).contains(&page);
            let expected = if new { 0 } else { OLD };
            assert_eq!(scene.look(page), expected, "{page} after {steps} steps");
        }
        let written = scene.at + 99 * PAGE;
        scene.sim.on(scene.threads[1]).poke(written, &[9]);
        let answer = scene.finish(cpu);
        assert_eq!(answer.frame.rax, K::Success.0.into());
        assert_eq!(answer.frame.rdx, scene.range().0);
        let stays = if replaced { 9 } else { 0 };
        assert_eq!(scene.look(99), stays, "written after {steps} steps");
        for page in [0, EDGE - 1, EDGE, PAGES - EDGE - 1, PAGES - EDGE] {
            let new = (EDGE..PAGES - EDGE).contains(&page);
            assert_eq!(scene.look(page), if new { 0 } else { OLD });
        }
        scene.check();
        *(if replaced { &mut after } else { &mut before }) += 1;
    }
    assert_eq!(before, 1, "regions were made to end there");
    assert!(after > 3, "{after} steps to free what was replaced");
}

// covers: V-07 T-02
#[test]
fn a_task_that_ends_meanwhile_leaves_nothing() {
    let mut baseline = None;
    for steps in 0.. {
        let mut scene = Scene::new();
        let begun = match steps {
            0 => None,
            steps => scene.begin(steps),
        };
        let task = scene.sim.task_of(scene.threads[0]);
        scene
            .sim
            .kernel
            .stage_termination(&mut scene.sim.machine, task);
        if let Some(cpu) = begun {
            scene.sim.event(cpu, Event::Continue);
        }
        for cpu in scene.sim.machine.cpus() {
            scene.sim.event(cpu, Event::Kick);
        }
        while scene.sim.deliver() {}
        scene.sim.kernel.stage_rest(&mut scene.sim.machine);
        scene.check();
        let left = (
            scene.sim.kernel.census(),
            scene.sim.machine.memory.in_use(),
            scene.sim.machine.spaces.len(),
        );
        assert_eq!(*baseline.get_or_insert(left), left, "after {steps} steps");
        if steps > 0 && begun.is_none() {
            assert!(steps > 4, "all was done in {steps} steps");
            break;
        }
    }
}

// covers: V-07 V-03
#[test]
fn without_memory_for_it_nothing_is_replaced() {
    let mut scene = Scene::new();
    let (address, size) = scene.range();
    let mut hog = Vec::new();
    while scene.sim.machine.free_pages() > 0 {
        hog.extend(scene.sim.machine.allocate_page());
    }
    let refused = match scene.begin(u32::MAX) {
        Some(cpu) => scene.finish(cpu),
        None => scene.sim.on(scene.threads[0]).finish(),
    };
    assert_eq!(refused.frame.rax, K::ResourceShortage.0.into());
    for page in 0..PAGES {
        assert_eq!(scene.look(page), OLD, "{page}");
    }
    for page in hog {
        scene.sim.machine.free_page(page);
    }
    scene.check();
    let mut me = scene.sim.on(scene.threads[0]);
    assert_eq!(me.trap(trap::VM_DEALLOCATE, &[address, size]), Ok(0));
}
