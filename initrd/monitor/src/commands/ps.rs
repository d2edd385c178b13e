//! `ps`: the tasks.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Done, Entry, none, target};
use crate::session::Session;
use crate::shell::Shell;
use crate::table::Table;

pub(super) const ENTRY: Entry = Entry("ps", "shows the tasks");

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    none(arguments, &ENTRY)?;
    let mut table = Table::new(["TASK", "NAME", "THREADS", "KIB", "RIGHTS", "CPU MS"]);
    for task in target::tasks(shell)? {
        table.row([
            task.index.to_string(),
            task.name.to_string(),
            task.threads.to_string(),
            (u64::from(task.pages) * 4).to_string(),
            task.names.to_string(),
            milliseconds(task.cpu_time),
        ]);
    }
    Ok(session.stdout(table.text().as_bytes()).await?)
}

fn milliseconds(nanoseconds: u64) -> String {
    let microseconds = nanoseconds / 1_000;
    format!("{}.{:03}", microseconds / 1_000, microseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_keep_their_microseconds() {
        assert_eq!(milliseconds(12_034_567), "12.034");
        assert_eq!(milliseconds(999), "0.000");
    }
}
