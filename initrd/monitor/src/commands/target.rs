//! Finding the task that a command is about.

use alloc::format;
use alloc::vec::Vec;

use interfaces::host::TaskEntry;
use interfaces::task::Task;
use libmach::abi::kern_return::KernReturn;
use libmach::{Error, SendRight};

use crate::failure::Failure;
use crate::shell::Shell;

/// Every task, by ascending index.
pub(super) fn tasks(shell: &Shell) -> Result<Vec<TaskEntry>, Failure> {
    let mut all = Vec::new();
    let mut first = 0;
    loop {
        let page = shell.rights.host.client().tasks(first)?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        // A kernel that does not ascend must not keep the monitor here.
        let next = last.index.saturating_add(1);
        if next <= first {
            return Ok(all);
        }
        first = next;
        all.extend_from_slice(&page);
    }
}

/// The control port of the task called `which`: an index, or a name that only one has.
pub(super) fn find(shell: &Shell, which: &str) -> Result<SendRight<dyn Task>, Failure> {
    let index = match which.parse() {
        Ok(index) => index,
        Err(_) => index_of(&tasks(shell)?, which)?,
    };
    let found = shell.rights.host.client().task(index);
    found.map_err(|error| match error {
        Error::Code(KernReturn::InvalidTask | KernReturn::InvalidArgument) => absent(which),
        error => Failure::of(which, error),
    })
}

fn index_of(tasks: &[TaskEntry], name: &str) -> Result<u32, Failure> {
    let mut found = tasks.iter().filter(|task| task.name.as_str() == name);
    match (found.next(), found.next()) {
        (Some(task), None) => Ok(task.index),
        (None, _) => Err(absent(name)),
        (Some(a), Some(b)) => Err(Failure::Said(format!(
            "{name}: several tasks have this name, such as {} and {}; use the index",
            a.index, b.index
        ))),
    }
}

fn absent(which: &str) -> Failure {
    Failure::Said(format!("{which}: there is no such task; see `ps`"))
}

#[cfg(test)]
mod tests {
    use interfaces::bounded::Text;
    use interfaces::host::TaskEntry;

    use super::{Failure, index_of};

    #[test]
    fn a_name_must_be_of_one_task() {
        let task = |index, name| TaskEntry {
            index,
            name: Text::cut(name),
            ..TaskEntry::default()
        };
        let tasks = [task(1, "a"), task(2, "b"), task(5, "b")];
        assert_eq!(index_of(&tasks, "a"), Ok(1));
        let said = |name| match index_of(&tasks, name) {
            Err(Failure::Said(text)) => text,
            other => panic!("{other:?}"),
        };
        assert!(said("c").contains("no such task"));
        assert!(said("b").contains("2 and 5"));
    }
}
