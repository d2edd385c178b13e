//! Tasks that want more than they may have: they get errors, the others keep their service, and all is freed after
//! their death.

use interfaces::echo::Echo;
use libmach::SendRight;

use super::cases;
use super::exceptions::dies;
use crate::case::{Check, World};
use crate::census::leaves_nothing;
use crate::client::Clients;

cases! { "exhaustion":
    "a name bomb" => names,
    "a message flood" => messages,
    "nested rights" => nested_rights,
    "a thread bomb" => threads,
    "a fork bomb" => forks,
    "a memory hog" => memory,
    "a region bomb" => regions,
    "a page-table bomb" => tables,
    "a pager that never answers" => slow_pager,
}

/// Culprits in one round.
const IN_A_ROUND: u32 = 3;
/// Rounds at most: before the supervisor has as many programs as it remembers, each one takes memory of it.
const ROUNDS: u32 = 50;

/// Lets culprits of a kind live and die while two clients call a server, who notice nothing of it.
fn bear(world: &World, kind: &str) -> Check {
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    echo.client().echo(0)?;
    let clients = Clients::start(&echo)?;
    let borne = leaves_nothing(ROUNDS, || {
        clients.call();
        for _ in 0..IN_A_ROUND {
            dies(world, kind)?;
            clients.served()?;
        }
        clients.rest()
    });
    let deaths = clients.counting.deaths();
    clients.end();
    borne?;
    crate::case::equal("calls that died", deaths, 0)
}

macro_rules! culprits {
    ($($function:ident => $kind:literal,)+) => {$(
        fn $function(world: &World) -> Check {
            bear(world, $kind)
        }
    )+};
}

culprits! {
    names => "name-hog",
    messages => "message-hog",
    nested_rights => "rights-hog",
    threads => "thread-hog",
    forks => "fork-bomb",
    memory => "memory-hog",
    regions => "region-hog",
    tables => "table-hog",
    slow_pager => "slow-pager",
}
