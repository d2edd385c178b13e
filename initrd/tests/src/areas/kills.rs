//! A server that is killed over and over while clients call it.
//!
//! Two threads call `echo` in loops: one what may be repeated, one what may not. The thread that kills has
//! a higher priority, so that its sleep ends in the middle of what they and the server do: kills meet requests
//! that are queued, served, and answered. Nobody waits for a time to be long enough: after a kill, each client
//! must get two more answers, of which the second one is surely of a new server.

use alloc::format;
use core::time::Duration;

use interfaces::echo::Echo;
use interfaces::supervisor::Supervisor;
use interfaces::thread::Thread;
use libmach::{SendRight, time, trap};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};
use crate::census::Census;
use crate::client::Clients;
use crate::rng::Rng;

/// How often the server is killed in search of what is left behind.
const KILLS: u32 = 1000;
/// Kills before the first look: tables grow to their size once.
const WARM_UP: u32 = 100;
/// Rounds of several kills in a row.
const ROUNDS: u32 = 50;
/// The most kills in a row.
const IN_A_ROW: u64 = 4;
/// The longest time, in ns, from the moment when clients are served to the next kill.
const AIM: u64 = 300_000;
/// The longest time, in ns, between two kills in a row: a server starts, checks in and serves meanwhile.
const START: u64 = 6_000_000;
/// Where the moments come from. They are not all of it: the same seed does not give the same run.
const SEED: u64 = 1;
/// Above what the clients have, and the server by them.
const PRIORITY: u32 = 60;
/// What programs have.
const NORMAL_PRIORITY: u32 = 31;

cases! { "kills":
    "a thousand kills while clients call leave nothing behind" => nothing_left,
    "kills at any moment of a start are no deaths" => in_a_row,
}

/// What the cases have in common: two clients at work, and power over their server.
struct Scene {
    supervisor: SendRight<dyn Supervisor>,
    thread: SendRight<dyn Thread>,
    clients: Clients,
    rng: Rng,
}

impl Scene {
    fn set(world: &World) -> Check<Self> {
        let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
        echo.client().echo(0)?;
        let scene = Self {
            supervisor: world.supervisor()?,
            thread: SendRight::from_name(trap::thread_self()?),
            clients: Clients::start(&echo)?,
            rng: Rng::new(SEED),
        };
        scene.thread.client().set_priority(PRIORITY, 1)?;
        Ok(scene)
    }

    fn end(self) -> Check {
        self.clients.end();
        Ok(self.thread.client().set_priority(NORMAL_PRIORITY, 0)?)
    }

    /// Sleeps for less than `limit` ns.
    fn aim(&mut self, limit: u64) {
        time::sleep(Duration::from_nanos(self.rng.below(limit)));
    }

    fn deaths(&self) -> u32 {
        self.clients.counting.deaths()
    }

    /// Kills the server so many times, each time when both clients are served; answers how many requests
    /// died with it.
    fn kill(&mut self, times: u32) -> Check<u32> {
        let first = self.deaths();
        for kill in 0..times {
            self.aim(AIM);
            let before = self.deaths();
            self.supervisor.client().kill("echo")?;
            self.clients.served()?;
            let died = self.deaths() - before;
            check!(died <= 1, "{died} calls died of kill {kill}");
        }
        Ok(self.deaths() - first)
    }

    /// What exists when the clients rest, once what ends has ended.
    fn census(&self) -> Check<Census> {
        self.clients.rest()?;
        let census = Census::settled();
        self.clients.call();
        census
    }
}

/// Runs a case in a scene, which is cleared away however it ends.
fn with_scene<T>(world: &World, case: impl FnOnce(&mut Scene) -> Check<T>) -> Check<T> {
    let mut scene = Scene::set(world)?;
    let result = case(&mut scene);
    let ended = scene.end();
    let whole = result.and_then(|value| ended.map(|()| value));
    whole.map_err(|verdict| match verdict {
        Verdict::Failed(why) => Verdict::Failed(format!("seed {SEED}: {why}")),
        skipped @ Verdict::Skipped(_) => skipped,
    })
}

fn nothing_left(world: &World) -> Check {
    let died = with_scene(world, |scene| {
        scene.kill(WARM_UP)?;
        let before = scene.census()?;
        let died = scene.kill(KILLS)?;
        let after = scene.census()?;
        equal("left behind", after.differences(&before), "".into())?;
        Ok(died)
    })?;
    world.write(&format!("# {died} calls died of {KILLS} kills\n"))?;
    // If none ever did, the kills met nobody at work.
    check!(died > 0, "no kill met a call");
    Ok(())
}

fn in_a_row(world: &World) -> Check {
    with_scene(world, |scene| {
        for round in 0..ROUNDS {
            let before = scene.deaths();
            let kills = 1 + scene.rng.below(IN_A_ROW);
            for _ in 0..kills {
                scene.aim(START);
                scene.supervisor.client().kill("echo")?;
            }
            scene.clients.served()?;
            let died = u64::from(scene.deaths() - before);
            check!(
                died <= kills,
                "round {round}: {died} calls died of {kills} kills"
            );
        }
        let services = scene.supervisor.client().services(0)?;
        let echo = services.iter().find(|service| &*service.name == "echo");
        let echo = echo.ok_or_else(|| Verdict::Failed("there is no echo".into()))?;
        equal("deaths in a row", echo.deaths_in_row, 0)
    })
}
