//! Rights by their bare names: what a name denotes, how references are counted, what ends them.

use libmach::abi::kern_return::{KernReturn as K, MessageReturn as M};
use libmach::abi::names::{MAX_UREFS, Name, disposition, port_type, right};
use libmach::abi::notify;
use libmach::abi::task::Limits;
use libmach::abi::trap::{attribute, construct};
use libmach::message::NO_REPLY;
use libmach::{Error, trap};

use super::{cases, own};
use crate::case::{Check, World, check, equal};
use crate::child::Child;
use crate::post::{self, Owned};
use crate::raw::Words;

cases! { "rights":
    "a name says what it denotes" => kinds,
    "send rights share one name with the receive right" => shared,
    "send-once rights never share a name" => once,
    "a full count of references stays full" => pegged,
    "a deallocation drops one reference of what can be dropped" => deallocate,
    "a send-once right that is dropped unused says so" => unused,
    "a port that ends leaves its references as dead names" => ended,
    "a destroyed name is gone with all rights under it" => destroyed,
    "one trap makes a port, another one takes it" => construct_and_destruct,
    "a task that ends gives its receive rights up first" => order_of_the_end,
    "a task with all its names gets no more" => table_full,
}

fn attribute_of(port: Name, which: u64) -> Check<u64> {
    Ok(trap::port_get_attribute(port, which)?)
}

// covers: P-02 P-06
fn kinds(_: &World) -> Check {
    let receive = Owned(trap::port_allocate(right::RECEIVE)?);
    let set = Owned(trap::port_allocate(right::PORT_SET)?);
    let dead = Owned(trap::port_allocate(right::DEAD_NAME)?);
    let kind = |name: &Owned| trap::port_type(name.0);
    equal("port", kind(&receive), Ok(port_type::RECEIVE))?;
    equal("set", kind(&set), Ok(port_type::PORT_SET))?;
    equal("dead name", kind(&dead), Ok(port_type::DEAD_NAME))?;
    let limit = attribute_of(receive.0, attribute::QUEUE_LIMIT)?;
    equal("queue limit", limit, 5)?;
    let rights = attribute_of(receive.0, attribute::SEND_RIGHTS)?;
    equal("send rights", rights, 0)?;
    let references = trap::port_get_refs(dead.0, right::DEAD_NAME);
    equal("references of a dead name", references, Ok(1))?;
    for other in [right::SEND, right::SEND_ONCE, right::NUMBER, 77] {
        equal(
            "another right",
            trap::port_allocate(other),
            Err(K::InvalidValue),
        )?;
    }
    trap::port_insert_right(receive.0, receive.0, disposition::MAKE_SEND)?;
    let both = port_type::RECEIVE | port_type::SEND;
    equal("with a send right", kind(&receive), Ok(both))?;
    let once = Owned(post::pass(receive.0, disposition::MAKE_SEND_ONCE)?);
    equal("once", kind(&once), Ok(port_type::SEND_ONCE))?;
    trap::port_request_notification(receive.0, notify::DEAD_NAME, 0, receive.0)?;
    let armed = both | port_type::DEAD_NAME_REQUEST;
    equal("with a request", kind(&receive), Ok(armed))
}

// covers: P-03 M-03
fn shared(_: &World) -> Check {
    let port = post::port()?;
    for references in 2..6 {
        let name = post::pass(port.0, disposition::COPY_SEND)?;
        equal("name", name, port.0)?;
        let found = trap::port_get_refs(port.0, right::SEND);
        equal("references", found, Ok(references))?;
    }
    let rights = attribute_of(port.0, attribute::SEND_RIGHTS)?;
    equal("rights", rights, 1)?;
    let made = attribute_of(port.0, attribute::MAKE_SEND_COUNT)?;
    equal("made", made, 1)?;
    let name = post::pass(port.0, disposition::MAKE_SEND)?;
    equal("name of a new one", name, port.0)?;
    let made = attribute_of(port.0, attribute::MAKE_SEND_COUNT)?;
    equal("made then", made, 2)
}

// covers: P-04
fn once(_: &World) -> Check {
    let port = post::port()?;
    let [a, b] = [(); 2].map(|()| post::pass(port.0, disposition::MAKE_SEND_ONCE));
    let (a, b) = (Owned(a?), Owned(b?));
    check!(a.0 != b.0 && a.0 != port.0 && b.0 != port.0, "{a:?}, {b:?}");
    let references = trap::port_get_refs(a.0, right::SEND_ONCE);
    equal("references", references, Ok(1))?;
    let rights = attribute_of(port.0, attribute::SEND_ONCE_RIGHTS)?;
    equal("rights", rights, 2)
}

// covers: P-05
fn pegged(_: &World) -> Check {
    const MAX: u64 = MAX_UREFS as u64;
    let port = post::port()?;
    let references = || trap::port_get_refs(port.0, right::SEND);
    let change = |delta| trap::port_mod_refs(port.0, right::SEND, delta);
    change(i32::from(MAX_UREFS) - 2)?;
    equal("not yet", references(), Ok(MAX - 1))?;
    change(-1)?;
    change(20)?;
    equal("the overflow", references(), Ok(MAX))?;
    change(-1)?;
    change(1)?;
    trap::port_deallocate(port.0)?;
    equal("for good", references(), Ok(MAX))?;
    equal("moved", post::pass(port.0, disposition::MOVE_SEND)?, port.0)?;
    equal("for good", references(), Ok(MAX))?;
    let all = i32::from(MAX_UREFS);
    equal("too many", change(-all - 1), Err(K::InvalidValue))?;
    change(-all)?;
    equal("type", trap::port_type(port.0), Ok(port_type::RECEIVE))
}

// covers: P-08
fn deallocate(_: &World) -> Check {
    let port = post::port()?;
    trap::port_mod_refs(port.0, right::SEND, 1)?;
    trap::port_deallocate(port.0)?;
    let left = trap::port_get_refs(port.0, right::SEND);
    equal("references", left, Ok(1))?;
    trap::port_deallocate(port.0)?;
    equal("type", trap::port_type(port.0), Ok(port_type::RECEIVE))?;
    let refused = trap::port_deallocate(port.0);
    equal("receive right", refused, Err(K::InvalidRight))?;
    let dead = trap::port_allocate(right::DEAD_NAME)?;
    trap::port_deallocate(dead)?;
    equal("dead name", trap::port_type(dead), Err(K::InvalidName))?;
    let set = post::set()?;
    trap::port_insert_member(port.0, set.0)?;
    trap::port_deallocate(set.0)?;
    equal("set", trap::port_type(set.0), Err(K::InvalidName))?;
    let sets = attribute_of(port.0, attribute::PORT_SETS)?;
    equal("sets", sets, 0)
}

// covers: P-09
fn unused(_: &World) -> Check {
    let port = post::port()?;
    let once = post::pass(port.0, disposition::MAKE_SEND_ONCE)?;
    post::nothing(port.0)?;
    trap::port_deallocate(once)?;
    equal("told", post::next_id(port.0)?, notify::SEND_ONCE)?;
    post::nothing(port.0)?;
    equal("name", trap::port_type(once), Err(K::InvalidName))
}

// covers: P-11
fn ended(_: &World) -> Check {
    let notes = post::port()?;
    // A request brings one reference more.
    for (request, expected) in [(false, 3), (true, 4)] {
        let port = post::port()?;
        trap::port_mod_refs(port.0, right::SEND, 2)?;
        if request {
            trap::port_request_notification(port.0, notify::DEAD_NAME, 0, notes.0)?;
        }
        trap::port_mod_refs(port.0, right::RECEIVE, -1)?;
        equal("type", trap::port_type(port.0), Ok(port_type::DEAD_NAME))?;
        let found = trap::port_get_refs(port.0, right::DEAD_NAME);
        equal("references", found, Ok(expected))?;
    }
    equal("told", post::next_id(notes.0)?, notify::DEAD_NAME)
}

// covers: P-12
fn destroyed(_: &World) -> Check {
    let (port, other) = (post::port()?, post::port()?);
    trap::port_mod_refs(port.0, right::SEND, 7)?;
    trap::port_destroy(port.0)?;
    equal("type", trap::port_type(port.0), Err(K::InvalidName))?;
    let to = (port.0, disposition::COPY_SEND);
    let code = post::attempt(to, NO_REPLY, 1);
    equal("send", code, M::SendInvalidDest)?;
    let set = post::set()?;
    trap::port_insert_member(other.0, set.0)?;
    trap::port_destroy(set.0)?;
    equal("set", trap::port_type(set.0), Err(K::InvalidName))?;
    post::send(other.0, 5)?;
    equal("its member", post::next_id(other.0)?, 5)
}

// covers: P-18
fn construct_and_destruct(_: &World) -> Check {
    let all = construct::INSERT_SEND | construct::QUEUE_LIMIT | construct::LABEL;
    let port = Owned(trap::port_construct(all, 17, 0xfeed)?);
    let kind = trap::port_type(port.0);
    equal("type", kind, Ok(port_type::SEND | port_type::RECEIVE))?;
    let limit = attribute_of(port.0, attribute::QUEUE_LIMIT)?;
    let label = attribute_of(port.0, attribute::LABEL)?;
    equal("limit and label", (limit, label), (17, 0xfeed))?;
    let bad = trap::port_construct(construct::QUEUE_LIMIT, 1025, 0);
    equal("a limit that is none", bad, Err(K::InvalidValue))?;
    let set = post::set()?;
    let destruct = trap::port_destruct;
    equal("a set", destruct(set.0, 0), Err(K::InvalidRight))?;
    equal("more rights", destruct(port.0, 1), Err(K::InvalidValue))?;
    equal(
        "too many rights",
        destruct(port.0, -2),
        Err(K::InvalidValue),
    )?;
    equal("all", destruct(port.0, -1), Ok(()))?;
    equal("type", trap::port_type(port.0), Err(K::InvalidName))?;
    let guarded = construct::INSERT_SEND | construct::GUARD;
    let port = Owned(trap::port_construct_guarded(guarded, 77)?);
    let wrong = trap::port_destruct_guarded(port.0, 0, 78);
    equal("the wrong guard", wrong, Err(K::InvalidArgument))?;
    trap::port_destruct_guarded(port.0, 0, 77)?;
    let left = trap::port_type(port.0);
    equal(
        "the send right that was left",
        left,
        Ok(port_type::DEAD_NAME),
    )
}

/// Word of the page: what the child calls a port that is outside.
const OUTSIDE: usize = 0;

/// Watches a send-once right to an own port, whose name comes before the port's, and ends.
extern "C" fn watch_and_end(page: &Words, _: u64) {
    let outside = Name(page.get(OUTSIDE) as u32);
    let watched = || -> Check {
        let early = [post::port()?, post::port()?];
        let (port, notes) = (post::port()?, post::port()?);
        drop(early);
        let once = post::pass(port.0, disposition::MAKE_SEND_ONCE)?;
        check!(once.index() < port.0.index(), "{once:?}, {port:?}");
        trap::port_request_notification(once, notify::DEAD_NAME, 0, notes.0)?;
        post::describe(0, notes.0, disposition::MOVE_RECEIVE);
        equal(
            "send",
            post::send_described((outside, disposition::COPY_SEND), 1),
            M::Success,
        )?;
        // The rest is for the task's end.
        core::mem::forget((port, notes));
        Ok(())
    };
    page.set(1, u64::from(watched().is_ok()));
}

// covers: P-20
fn order_of_the_end(_: &World) -> Check {
    let inbox = post::port()?;
    let child = Child::new(watch_and_end, 0)?;
    let right = own()?
        .client()
        .extract_send(inbox.0, disposition::MAKE_SEND)?;
    let name = child.task.client().insert_send(Name::NULL, right)?;
    child.page.set(OUTSIDE, name.0.into());
    child.run()?;
    post::next(inbox.0)?;
    let notes = Owned(post::arrived(0));
    child.until_gone()?;
    equal("what the child did", child.page.get(1), 1)?;
    // Had the names gone in their order, the right would have been deleted while its port lived.
    equal("told", post::next_id(notes.0)?, notify::DEAD_NAME)?;
    post::nothing(notes.0)
}

// covers: P-22
fn table_full(_: &World) -> Check {
    const NAMES: u32 = 10;
    let limits = Limits {
        names: NAMES,
        messages: 4,
        threads: 1,
        pages: 20,
        kernel_bytes: 1 << 16,
    };
    let task = own()?.client().create(limits, 5, 0)?;
    let client = task.client();
    for _ in 0..NAMES {
        client.port_allocate(right::RECEIVE)?;
    }
    for kind in [right::RECEIVE, right::PORT_SET, right::DEAD_NAME] {
        let more = client.port_allocate(kind);
        equal("one more", more, Err(Error::Code(K::ResourceShortage)))?;
    }
    let ledger = client.ledger()?;
    equal(
        "names",
        (ledger.used.names, ledger.limits.names),
        (NAMES, NAMES),
    )?;
    // Others notice nothing.
    let port = post::port()?;
    post::send(port.0, 1)?;
    client.terminate()?;
    Ok(())
}
