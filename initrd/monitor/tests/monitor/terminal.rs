//! A person at the terminal.

use super::fakes::{System, TERMINAL, World};

const PROMPT: &str = "mello> ";

impl System {
    /// What the terminal shows from now on, up to the next prompt behind `text`.
    fn until(&self, text: &str) -> String {
        self.wait(|world| {
            let written = String::from_utf8_lossy(&world.written[TERMINAL]).into_owned();
            let found = written.find(text)?;
            let prompt = written[found..].find(PROMPT)?;
            world.written[TERMINAL].clear();
            Some(written[..found + prompt].to_owned())
        })
    }

    /// Types a line, and gives back what its command wrote.
    pub(crate) fn ask(&self, line: &str) -> String {
        self.send(TERMINAL, format!("{line}\r").as_bytes());
        let shown = self.until("\r\n");
        // Behind the echo of the line.
        let (_, answer) = shown.split_once("\r\n").expect("the line was ended");
        answer.trim_end_matches('\r').to_owned()
    }
}

pub(crate) fn system() -> System {
    let system = System::start();
    let banner = system.until("MelloOS 9.9, 2 CPUs, 256 MiB\r\n");
    assert!(banner.contains("shutdown"), "{banner}");
    system
}

#[test]
fn commands_answer_in_words() {
    let system = system();
    let help = system.ask("help");
    for word in [
        "svc",
        "ps",
        "lsmp TASK",
        "vmmap TASK",
        "dmesg",
        "trace",
        "run PROGRAM",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert_eq!(
        system.ask("nonsense 1"),
        "nonsense: no such command; try help\r\n"
    );
    assert_eq!(
        system.ask("help me"),
        "help: me: no builtin command; help lists them\r\n"
    );
    let of_one = system.ask("help svc");
    assert!(of_one.starts_with("svc [list |"), "{of_one}");
    assert_eq!(of_one.lines().count(), 1);
    assert_eq!(system.ask("run 'a"), "a quote is not closed\r\n");
    assert_eq!(system.ask(""), "");
    let refused = system.ask("trace");
    assert_eq!(
        refused,
        "trace: it needs a privilege that the monitor does not hold\r\n"
    );
}

#[test]
fn long_lists_come_whole() {
    let system = system();
    let services = system.ask("svc");
    assert_eq!(services.lines().count(), 21, "{services}");
    assert!(services.contains("service-19"));
    assert_eq!(system.ask("ps").lines().count(), 41);
    let log = system.ask("dmesg");
    assert!(log.starts_with("(5 lines are lost)\r\n"), "{log}");
    assert!(log.ends_with("kernel: line 29\r\n"), "{log}");
}

#[test]
fn orders_reach_the_supervisor() {
    let system = system();
    for order in ["start", "stop", "kill", "restart"] {
        assert_eq!(system.ask(&format!("svc {order} echo")), "");
    }
    let orders = system.wait(|world| Some(world.orders.clone()));
    assert_eq!(
        orders,
        ["start echo", "stop echo", "kill echo", "restart echo"]
    );
    let unknown = system.ask("svc kill nobody");
    assert_eq!(unknown, "svc: nobody: there is no such service\r\n");
    assert!(system.ask("svc shoot echo").starts_with("usage: svc"));
    let oneself = system.ask("svc stop monitor");
    assert!(oneself.contains("could not be started again"), "{oneself}");
}

#[test]
fn a_task_that_is_not_there_is_named() {
    let system = system();
    assert_eq!(
        system.ask("lsmp 3"),
        "lsmp: 3: there is no such task; see `ps`\r\n"
    );
    let unknown = system.ask("vmmap nobody");
    assert_eq!(
        unknown,
        "vmmap: nobody: there is no such task; see `ps`\r\n"
    );
}

#[test]
fn programs_get_their_arguments_and_the_terminal() {
    let system = system();
    assert_eq!(system.ask("run args 'a b' c"), "[\"a b\", \"c\"]\r\n");
    assert_eq!(system.ask("args"), "[\"\"]\r\n");
    let fault = system.ask("fault");
    assert_eq!(
        fault,
        "ended by EXC_BAD_ACCESS (SIGSEGV); dmesg says more\r\n"
    );
    system.send(TERMINAL, b"cat\rtyped\rmore\x04args x\r");
    let shown = system.until("[\"x\"]");
    assert!(shown.contains("typed\r\nmore"), "{shown}");
}

#[test]
fn ctrl_c_ends_a_command_and_ctrl_d_the_system() {
    let system = system();
    system.send(TERMINAL, b"sleep\r");
    system.wait(|world| {
        let written = String::from_utf8_lossy(&world.written[TERMINAL]).into_owned();
        written.contains("sleep\r\n").then_some(())
    });
    system.send(TERMINAL, b"\x03");
    let shown = system.until("^C\r\n");
    assert!(shown.contains("sleep"), "{shown}");
    assert_eq!(system.ask("svc kill echo"), "", "the prompt is back");
    system.send(TERMINAL, b"\x04");
    system.wait(|world| (world.shutdowns == 1).then_some(()));
}

#[test]
fn a_program_that_is_given_up_while_it_is_loaded_does_not_stay() {
    let system = system();
    system.send(TERMINAL, b"large\r");
    system.wait(|world| (world.orders == ["load large"]).then_some(()));
    system.send(TERMINAL, b"\x03");
    let shown = system.until("^C\r\n");
    assert!(shown.contains("large"), "{shown}");
    system.wait(|world| {
        world.loaded = true;
        Some(())
    });
    system.wait(|world| {
        let orders = world.orders.get(1)?;
        assert_eq!(orders, "terminated: true");
        Some(())
    });
}

#[test]
fn the_line_is_drawn_again_when_the_log_has_taken_its_place() {
    let system = system();
    system.send(TERMINAL, b"svc ki");
    let typed = |world: &mut World, what: &str| {
        let written = String::from_utf8_lossy(&world.written[TERMINAL]);
        written.contains(what).then_some(())
    };
    system.wait(|world| typed(world, "svc ki"));
    for shown in 1..3 {
        system.wait(|world| {
            world.written[TERMINAL].clear();
            world.shown = shown;
            Some(())
        });
        system.wait(|world| typed(world, "\rmello> svc ki\x1b[K\r\x1b[13C"));
    }
    system.send(TERMINAL, b"ll echo\r");
    system.wait(|world| (world.orders == ["kill echo"]).then_some(()));
}

#[test]
fn reboot_starts_the_machine_again_and_takes_no_argument() {
    let system = system();
    assert!(system.ask("reboot now").contains("reboot"));
    assert_eq!(system.world.lock().unwrap().reboots, 0);
    system.send(TERMINAL, b"reboot\r");
    system.wait(|world| (world.reboots == 1).then_some(()));
}

#[test]
fn a_script_ends_with_its_input() {
    let system = system();
    system.send(TERMINAL, b"args 1\rcat\rargs 2\r\x04\x04");
    system.wait(|world| (world.shutdowns == 1).then_some(()));
}
