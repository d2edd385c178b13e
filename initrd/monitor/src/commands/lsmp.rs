//! `lsmp`: the rights that a task holds.

use alloc::format;
use alloc::string::{String, ToString};

use interfaces::task::RightInfo;
use libmach::abi::names::{Name, port_type};

use super::{Done, Entry, id, target};
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;
use crate::table::Table;

pub(super) const ENTRY: Entry = Entry("lsmp TASK", "shows a task's rights");

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    let [which] = arguments else {
        return Err(Failure::Usage(ENTRY.0));
    };
    let task = target::find(shell, which)?;
    let mut table = Table::new(["NAME", "RIGHTS", "REFS", "PORT", "QUEUED", "SENDERS"]);
    let mut after = Name::NULL;
    loop {
        let page = task.client().rights(after)?;
        match page.last() {
            Some(last) if last.name > after => after = last.name,
            _ => break,
        }
        for right in page.iter() {
            table.row(cells(right));
        }
    }
    Ok(session.stdout(table.text().as_bytes()).await?)
}

fn cells(right: &RightInfo) -> [String; 6] {
    let receives = right.kind & port_type::RECEIVE != 0;
    let of_receiver = |number: u32| {
        if receives {
            number.to_string()
        } else {
            String::from("-")
        }
    };
    // Only these are counted: a task has one receive right to a port.
    const COUNTED: u32 = port_type::SEND | port_type::SEND_ONCE | port_type::DEAD_NAME;
    let references = if right.kind & COUNTED == 0 {
        String::from("-")
    } else {
        right.references.to_string()
    };
    [
        format!("{:#x}", right.name.0),
        kinds(right.kind),
        references,
        id(right.port),
        of_receiver(right.messages),
        of_receiver(right.send_rights),
    ]
}

fn kinds(bits: u32) -> String {
    const NAMES: [(u32, &str); 6] = [
        (port_type::RECEIVE, "receive"),
        (port_type::SEND, "send"),
        (port_type::SEND_ONCE, "send-once"),
        (port_type::PORT_SET, "set"),
        (port_type::DEAD_NAME, "dead"),
        (port_type::DEAD_NAME_REQUEST, "watched"),
    ];
    let mut text = String::new();
    for (bit, name) in NAMES {
        if bits & bit != 0 {
            if !text.is_empty() {
                text.push('+');
            }
            text.push_str(name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use interfaces::task::RightInfo;
    use libmach::abi::names::{Name, port_type};

    use super::cells;

    #[test]
    fn rights_have_names_and_only_receivers_have_queues() {
        let mut right = RightInfo {
            name: Name(0x301),
            kind: port_type::RECEIVE | port_type::SEND,
            references: 2,
            port: 4 << 32 | 17,
            messages: 1,
            send_rights: 3,
        };
        let expected = ["0x301", "receive+send", "2", "17.4", "1", "3"];
        assert_eq!(cells(&right), expected);
        right.kind = port_type::DEAD_NAME;
        right.port = 0;
        assert_eq!(cells(&right), ["0x301", "dead", "2", "-", "-", "-"]);
        right.kind = port_type::PORT_SET;
        assert_eq!(cells(&right)[1..3], ["set", "-"]);
    }
}
