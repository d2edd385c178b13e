//! Calls to a member of a port set: their cost is to be the same however large the set is.

use libmach::abi::names::Name;
use libmach::message::call;

use super::{Bench, Take, rpc};
use crate::Result;
use crate::failure::delivered;
use crate::peer::Peer;
use crate::samples::Row;
use crate::server::{id, serve};

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(members(bench, "set_1", 1))?;
    take(members(bench, "set_100", 100))?;
    take(members(bench, "set_10000", 10_000))
}

fn members(bench: &Bench, name: &'static str, count: u64) -> Result<Row> {
    let peer = Peer::serving(serve, 0)?.run()?;
    let (code, answer) = call(peer.port(), id::SET, [count, 0, 0, 0, 0, 0]);
    delivered(code)?;
    let member = peer.send_right(Name(answer.words[0] as u32))?;
    rpc::empty(bench, name, member.name())
}
