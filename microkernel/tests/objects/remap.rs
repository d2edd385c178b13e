//! `vm_remap` whose tasks end between its steps.

use abi::kern_return::KernReturn as K;
use abi::names::disposition;
use abi::start::names;
use abi::task::Limits;
use abi::vm::{flags, protection};
use interfaces::vm::Vm;
use microkernel::machine::Event;
use sim::Request;

use crate::world::{LIMITS, PAGE, World};

// covers: V-07 T-02
#[test]
fn a_remap_whose_source_ends_meanwhile_is_taken_back() {
    let world = World::single();
    for steps in 2..6 {
        let child = world.child_within(Limits {
            kernel_bytes: 1 << 20,
            ..LIMITS
        });
        let all = child.task.vm_allocate(0, 150 * PAGE, flags::ANYWHERE);
        let at = all.unwrap();
        for page in (0..150).step_by(10) {
            let place = at + page * PAGE;
            let read = child.task.vm_protect(place, PAGE, 0, protection::READ);
            read.unwrap();
        }
        let sim = &mut *world.sim.borrow_mut();
        let mut me = sim.on(world.first);
        let request = Request::call(me.root(names::TASK))
            .id(<dyn Vm>::REMAP.id)
            .port(child.right.0, disposition::COPY_SEND)
            .words([0, 150 * PAGE, 0, at, flags::ANYWHERE, 0]);
        let cpu = me.message_steps(&request, steps);
        let first = sim.kernel.first_task();
        let source = sim.kernel.task_ids().find(|task| Some(*task) != first);
        sim.kernel
            .stage_termination(&mut sim.machine, source.unwrap());
        sim.event(cpu, Event::Continue);
        let mut me = sim.on(world.first);
        let reply = me.finish_message();
        assert_eq!(reply.words[0], K::InvalidCapability.0.into());
        me.deallocate(child.right.0).unwrap();
    }
    world.at_baseline();
}
