//! `svc`: services and orders to them.

use alloc::format;
use alloc::string::{String, ToString};

use interfaces::bootstrap::refusal;
use interfaces::supervisor::{Cause, Info, State};
use libmach::{Error, time};

use super::{Done, Entry};
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;
use crate::table::Table;

pub(super) const ENTRY: Entry = Entry(
    "svc [list | start|stop|kill|restart NAME]",
    "shows services, or gives one an order",
);

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    match arguments {
        [] | ["list"] => list(shell, session).await,
        [order, name] => {
            if (*order, *name) == ("stop", MYSELF) {
                let text = "a stopped monitor could not be started again; `svc restart` it";
                return Err(Failure::Said(format!("{name}: {text}")));
            }
            let done = give(shell, order, name).await?;
            done.map_err(|error| match error {
                // What the supervisor has no service of is no program to it.
                Error::Code(refusal::NO_SUCH_PROGRAM) => {
                    Failure::of(name, Error::Code(refusal::UNKNOWN_SERVICE))
                }
                error => Failure::of(name, error),
            })
        }
        _ => Err(Failure::Usage(ENTRY.0)),
    }
}

/// The monitor's own name in its manifest.
const MYSELF: &str = "monitor";

/// Gives an order; an unknown one is a failure of its own.
async fn give(shell: &Shell, order: &str, name: &str) -> Result<Result<(), Error>, Failure> {
    let supervisor = shell.runtime.concurrent(&shell.rights.supervisor);
    Ok(match order {
        "start" => shell.patiently(|| supervisor.start(name)).await,
        "stop" => shell.patiently(|| supervisor.stop(name)).await,
        "kill" => shell.patiently(|| supervisor.kill(name)).await,
        "restart" => shell.patiently(|| supervisor.restart(name)).await,
        _ => return Err(Failure::Usage(ENTRY.0)),
    })
}

async fn list(shell: &Shell, session: &Session) -> Done {
    let supervisor = shell.runtime.concurrent(&shell.rights.supervisor);
    let mut table = Table::new(["NAME", "STATE", "TASK", "RESTARTS", "LAST DEATH"]);
    let mut first = 0;
    loop {
        let page = shell.patiently(|| supervisor.services(first)).await?;
        if page.is_empty() {
            break;
        }
        first += page.len() as u32;
        for info in page.iter() {
            table.row(cells(info, time::now()));
        }
    }
    Ok(session.stdout(table.text().as_bytes()).await?)
}

fn cells(info: &Info, now: u64) -> [String; 5] {
    let state = match info.state {
        State::Idle => "idle".to_string(),
        State::Starting => "starting".to_string(),
        State::Running => "running".to_string(),
        State::Waiting => format!("starts in {}", span(info.next_start.saturating_sub(now))),
        State::Stopped => "stopped".to_string(),
        State::Failed => "failed".to_string(),
    };
    let task = match info.task {
        0 => "-".to_string(),
        index => index.to_string(),
    };
    [
        info.name.to_string(),
        state,
        task,
        info.restarts.to_string(),
        death(info, now),
    ]
}

/// The last death: when, by which detector, why.
fn death(info: &Info, now: u64) -> String {
    let by = match info.cause {
        Cause::None => return "-".to_string(),
        Cause::Exit => "exit",
        Cause::Exception => "exception",
        Cause::Silence => "silence",
        Cause::Protocol => "protocol",
        Cause::Order => "order",
    };
    let ago = span(now.saturating_sub(info.died));
    if info.cause == Cause::Order && !info.reason.is_empty() {
        return format!("{ago} ago, {}", &*info.reason);
    }
    let mut text = format!("{ago} ago, {by}");
    // Why it failed says so in words.
    if info.deaths_in_row > 1 && info.state != State::Failed {
        text.push_str(&format!(" ({} in a row)", info.deaths_in_row));
    }
    if !info.reason.is_empty() {
        text.push_str(": ");
        text.push_str(&info.reason);
    }
    text
}

/// A time span in the unit that suits it.
pub(super) fn span(nanoseconds: u64) -> String {
    match nanoseconds / 1_000_000 {
        ms @ 0..=999 => format!("{ms} ms"),
        ms @ 1_000..=119_999 => format!("{} s", ms / 1_000),
        ms => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use interfaces::bounded::Text;
    use interfaces::supervisor::{Cause, Info, State};

    use super::{cells, span};

    #[test]
    fn a_death_is_told_in_words() {
        let info = Info {
            name: Text::cut("echo"),
            state: State::Waiting,
            restarts: 7,
            deaths_in_row: 3,
            cause: Cause::Exception,
            died: 1_000_000_000,
            next_start: 1_540_000_000,
            reason: Text::cut("EXC_BAD_ACCESS at 0x0"),
            ..Info::default()
        };
        let expected = [
            "echo",
            "starts in 40 ms",
            "-",
            "7",
            "500 ms ago, exception (3 in a row): EXC_BAD_ACCESS at 0x0",
        ];
        assert_eq!(cells(&info, 1_500_000_000), expected);
    }

    #[test]
    fn a_death_by_order_is_told_once() {
        let info = Info {
            cause: Cause::Order,
            reason: Text::cut("killed by order"),
            deaths_in_row: 2,
            ..Info::default()
        };
        assert_eq!(cells(&info, 0)[4], "0 ms ago, killed by order");
    }

    #[test]
    fn a_service_that_never_died_says_nothing_of_it() {
        let info = Info {
            name: Text::cut("log"),
            state: State::Running,
            task: 4,
            ..Info::default()
        };
        assert_eq!(cells(&info, 5), ["log", "running", "4", "0", "-"]);
    }

    #[test]
    fn spans_have_fitting_units() {
        let ms = 1_000_000;
        assert_eq!(span(999 * ms), "999 ms");
        assert_eq!(span(1_500 * ms), "1 s");
        assert_eq!(span(180_000 * ms), "3 min");
    }
}
