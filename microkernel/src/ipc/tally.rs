//! Rights, counted anew where they lie: a part of [`Kernel::check`](crate::kernel::Kernel::check).
//!
//! A port counts its rights as they come and go; here they are looked for in everything that can hold one, so that a count
//! that nobody gave back is found as well as one that nobody took. Nothing is allocated: the ports are gone through in
//! windows, for each of which everything is looked at once.

use super::body::Carried;
use super::entry::Rights;
use super::message::{Message, Via};
use super::notice::Watch;
use super::port::{Kind, Port};
use super::right::Right;
use super::stage::Stage;
use super::{Ipc, Ports};
use crate::base::ids::{MessageId, PortId};

/// Ports of one window.
pub const WINDOW: u32 = 256;

/// What there is to one port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Found {
    receive: u32,
    /// Of these, those under a name.
    named: u32,
    send: u32,
    send_once: u32,
}

/// What there is to the ports of a window.
pub struct Tally<'a> {
    ports: &'a Ports,
    first: u32,
    found: [Found; WINDOW as usize],
}

impl<'a> Tally<'a> {
    /// Nothing found yet of the ports from an index on.
    pub fn new(ports: &'a Ports, first: u32) -> Self {
        let found = [Found::default(); WINDOW as usize];
        Self {
            ports,
            first,
            found,
        }
    }

    fn of(&mut self, id: PortId) -> Option<&mut Found> {
        self.ports.get(id)?;
        let index = id.index().checked_sub(self.first)?;
        self.found.get_mut(index as usize)
    }

    /// Here is a right.
    pub fn right(&mut self, right: &Right) {
        match *right {
            Right::None | Right::Dead => {}
            Right::Send(port) => self.send(port),
            Right::SendOnce(port) => self.send_once(port),
            Right::Receive(port) => self.receive(port),
        }
    }

    /// Here is a send right.
    pub fn send(&mut self, port: PortId) {
        if let Some(found) = self.of(port) {
            found.send += 1;
        }
    }

    /// Here is a send-once right.
    pub fn send_once(&mut self, port: PortId) {
        if let Some(found) = self.of(port) {
            found.send_once += 1;
        }
    }

    fn receive(&mut self, port: PortId) {
        if let Some(found) = self.of(port) {
            found.receive += 1;
        }
    }

    fn named(&mut self, port: PortId) {
        if let Some(found) = self.of(port) {
            found.receive += 1;
            found.named += 1;
        }
    }

    fn message(&mut self, message: &Message) {
        if message.via == Via::Send {
            self.send(message.port);
        }
        self.right(&message.reply);
    }

    /// Whether the ports of the window count what was found.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn compare(&self) -> Result<(), &'static str> {
        let ports = (self.first..).map_while(|index| {
            let found = self.found.get((index - self.first) as usize)?;
            Some((self.ports.at(index), *found))
        });
        for (port, found) in ports {
            if let Some(port) = port {
                compare(port, found)?;
            }
        }
        Ok(())
    }
}

fn compare(port: &Port, found: Found) -> Result<(), &'static str> {
    if found.send != port.send_rights {
        return Err("a port miscounts its send rights");
    }
    // That of a reply port is one at most, and is not counted.
    if found.send_once != port.send_once_rights && !matches!(port.kind, Kind::Reply(_)) {
        return Err("a port miscounts its send-once rights");
    }
    // The kernel has those of its own ports, but for a memory object's that are on their way to its pager.
    let given = port.kind.is_memory_object() && port.carrier.is_some();
    if found.receive != u32::from(given || matches!(port.kind, Kind::Plain | Kind::Set)) {
        return Err("a port has not exactly one receive right");
    }
    if found.named != u32::from(port.space.is_some()) {
        return Err("a port is wrong about whether its receive right has a name");
    }
    Ok(())
}

impl Ipc {
    /// Finds the rights in names, messages, requests for notifications and the host's special ports.
    pub fn find_rights(&self, tally: &mut Tally<'_>) {
        for space in self.names.space_ids() {
            for index in 0..self.names.end(space) {
                let name = self.names.name_at(space, index);
                let entry = name.and_then(|name| self.names.get(space, name));
                let Some((entry, port)) = entry.and_then(|entry| Some((entry, entry.port?))) else {
                    continue;
                };
                if entry.rights.contains(Rights::SEND) {
                    tally.send(port);
                }
                if entry.rights.contains(Rights::SEND_ONCE) {
                    tally.send_once(port);
                }
                if entry.rights.intersects(Rights::RECEIVE | Rights::SET) {
                    tally.named(port);
                }
            }
        }
        self.find_in_messages(tally);
        let notices = (0..self.notices.end()).filter_map(|index| self.notices.at(index));
        for notice in notices.filter(|notice| notice.watch != Watch::Spent) {
            tally.send_once(notice.notify);
            if let Watch::PortDestroyed { port: Some(port) } = notice.watch {
                tally.receive(port);
            }
        }
        for port in self.specials.held() {
            tally.send(port);
        }
    }

    fn find_in_messages(&self, tally: &mut Tally<'_>) {
        for message in (0..self.messages.end()).filter_map(|index| self.messages.at(index)) {
            tally.message(message);
        }
        for body in (0..self.bodies.end()).filter_map(|index| self.bodies.at(index)) {
            for carried in &body.carried {
                if let Carried::Port(right) = carried {
                    tally.right(right);
                }
            }
        }
        for row in (0..self.rows.end()).filter_map(|index| self.rows.at(index)) {
            for right in row.rights() {
                tally.right(right);
            }
        }
    }

    /// Finds the send-once right that a thread's message goes by, as long as it has not reached its port.
    pub fn find_on_the_way(&self, parked: MessageId, tally: &mut Tally<'_>) {
        if let Some(message) = self.messages.get(parked)
            && message.via == Via::SendOnce
            && !matches!(self.stage_of(message), Stage::Receiving(_))
        {
            tally.send_once(message.port);
        }
    }
}

#[cfg(test)]
mod tests {
    use arena::{Arena, Region};

    use super::*;
    use crate::ipc::port::Object;

    /// What a port with one send right says of such rights, when it is the last of so many.
    fn judged(count: u32, rights: &[fn(PortId) -> Right]) -> Result<(), &'static str> {
        let mut ports: Ports = Arena::new(Region::on_heap(1 << 20));
        for _ in 1..count {
            ports.insert(Port::new(Kind::Kernel(Object::Host))).unwrap();
        }
        let port = Port {
            send_rights: 1,
            ..Port::new(Kind::Plain)
        };
        let last = ports.insert(port).unwrap();
        for first in (0..count).step_by(WINDOW as usize) {
            let mut tally = Tally::new(&ports, first);
            rights.iter().for_each(|right| tally.right(&right(last)));
            tally.compare()?;
        }
        Ok(())
    }

    #[test]
    fn a_right_too_many_and_one_too_few_are_found() {
        for count in [1, WINDOW, WINDOW + 1, 3 * WINDOW] {
            let (receive, send, once) = (Right::Receive, Right::Send, Right::SendOnce);
            assert_eq!(judged(count, &[receive, send]), Ok(()));
            assert!(judged(count, &[receive]).is_err());
            assert!(judged(count, &[receive, send, send]).is_err());
            assert!(judged(count, &[receive, send, once]).is_err());
            assert!(judged(count, &[send]).is_err());
            assert!(judged(count, &[receive, receive, send]).is_err());
        }
    }
}
