//! `trace`: every hop of what a command makes the system do, as a file that Perfetto opens.
//!
//! The guest's `trace --report` runs the command and prints the kernel's records behind the command's own
//! output; the crate `trace` makes tracks, slices and flows of them.

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::run::{Options, Stream, attend, prepare, show};
use lexopt::{Arg, Parser, ValueExt};
use std::fs;
use std::path::PathBuf;
use trace::Report;

/// What to trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    /// The machine to boot.
    options: Options,
    /// The command and its arguments; without one, the guest calls echo.
    command: Vec<String>,
    /// Where the trace goes.
    file: Option<PathBuf>,
}

impl Request {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut machine = Vec::new();
        let mut file = None;
        let mut command = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('o') | Arg::Long("output") => file = Some(parser.value()?.into()),
                Arg::Long("no-fast-path") => machine.push("--no-fast-path".to_owned()),
                Arg::Long(
                    flag @ ("smp" | "mem" | "timeout" | "watchdog" | "image" | "add" | "accel"),
                ) => {
                    machine.push(format!("--{flag}"));
                    machine.push(parser.value()?.string()?);
                }
                Arg::Value(first) => {
                    command.push(first.string()?);
                    for word in parser.raw_args()? {
                        command.push(word.string()?);
                    }
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Self {
            options: Options::parse(&mut Parser::from_args(machine))?,
            command,
            file,
        })
    }
}

/// The whole command; its exit status is the traced command's.
pub(crate) fn trace(place: &Place, request: Request) -> Result<u8> {
    let boot = prepare(place, &request.options)?;
    let mut words = vec!["trace".to_owned(), "--report".to_owned()];
    words.extend(request.command);
    let mut output = Vec::new();
    let status = attend(&boot, &request.options, &words, |stream, bytes| {
        match stream {
            Stream::Stdout => output.extend_from_slice(bytes),
            other => show(other, bytes)?,
        }
        Ok(())
    })?;
    let Some((own, lines)) = trace::split(&output) else {
        show(Stream::Stdout, &output)?;
        return match status {
            0 => Err(Fault::new("the guest printed no trace")),
            status => Ok(status),
        };
    };
    show(Stream::Stdout, own)?;
    let report = Report::parse(&String::from_utf8_lossy(lines));
    let report = report.map_err(|bad| Fault::new(bad.to_string()))?;
    let (bytes, size) = trace::draw(&report);
    let file = request
        .file
        .unwrap_or_else(|| place.output().join("trace.perfetto"));
    fs::write(&file, bytes).at("write", &file)?;
    if report.lost > 0 {
        eprintln!(
            "{} events are lost: the kernel keeps the last ones",
            report.lost
        );
    }
    let (events, calls) = (size.events, size.calls);
    eprintln!("{events} events, {calls} calls: {}", file.display());
    eprintln!("open it: https://ui.perfetto.dev");
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::perfetto::{self, Slice};

    fn parse(words: &[&str]) -> Result<Request> {
        Request::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn options_are_the_machine_s_and_what_follows_is_the_guest_s() {
        let request = parse(&["--smp", "2", "-o", "a b", "--", "tests", "-o", "x"]).unwrap();
        assert_eq!(request.options.cpus, 2);
        assert_eq!(request.file, Some("a b".into()));
        assert_eq!(request.command, ["tests", "-o", "x"]);
        assert_eq!(parse(&["--gui"]).unwrap_err().status(), 2);
    }

    /// A client (thread 6) calls echo (thread 7) by a hand-over, then by the queue, and faults.
    const REPORT: &str = "task 1 client\ntask 2 echo\nthread 6 1\nthread 7 2\n\
        message 4200 request org.mello.echo.echo\nmessage 4300 reply org.mello.echo.echo\nlost 0\n\
        event 100 0 2 6 7 4200\n\
        event 200 0 2 7 6 4300\n\
        event 300 0 3 6 40 21474840680\n\
        event 310 0 5 6 1 4294967295\n\
        event 320 0 7 4294967295 7 0\n\
        event 330 0 4 7 30064771112 21474840680\n\
        event 340 0 2 7 6 4300\n\
        event 400 0 8 6 4096 1\n";

    #[test]
    fn a_call_is_a_slice_at_both_ends_joined_by_a_flow() {
        let (bytes, size) = trace::draw(&Report::parse(REPORT).unwrap());
        assert_eq!((size.events, size.calls), (8, 2));
        let trace = perfetto::decode(&bytes).unwrap();
        let found = |track: &str| -> Vec<&Slice> {
            let slices = trace.slices.iter();
            slices.filter(|slice| slice.track == track).collect()
        };
        let times = |slices: &[&Slice]| -> Vec<(u64, u64)> {
            slices
                .iter()
                .map(|slice| (slice.start, slice.end))
                .collect()
        };
        let (client, server) = (found("client/6"), found("echo/7"));
        assert_eq!(times(&client), [(100, 200), (300, 340)]);
        assert_eq!(times(&server), [(100, 200), (330, 340)]);
        assert_eq!(client[0].name, "org.mello.echo.echo");
        assert_eq!(server[0].name, "serves org.mello.echo.echo");
        for (client, server) in client.iter().zip(&server) {
            assert!(client.flow.is_some());
            assert_eq!(client.flow, server.flow);
        }
        assert_ne!(client[0].flow, client[1].flow);
        assert_eq!(client[0].process, "client (task 1)");
        let fault = (
            "client/6".to_owned(),
            400,
            "page fault at 0x1000".to_owned(),
        );
        assert!(trace.instants.contains(&fault), "{:?}", trace.instants);
        let running: Vec<_> = found("CPU 0").iter().map(|s| s.name.as_str()).collect();
        let expected = ["client/6", "echo/7", "client/6", "echo/7", "client/6"];
        assert_eq!(running, expected);
    }

    /// The first answer and the second request go straight to who waits for them, on the general path.
    #[test]
    fn a_message_without_a_number_comes_from_the_thread_that_runs() {
        let text = "task 1 client\ntask 2 echo\nthread 6 1\nthread 7 2\n\
            message 4200 request x\nmessage 4300 reply x\nlost 0\n\
            event 100 0 2 6 7 4200\n\
            event 200 0 4 7 25769803785 18446744069414588620\n\
            event 300 0 4 6 30064771112 18446744069414588520\n\
            event 340 0 2 7 6 4300\n";
        let (bytes, size) = trace::draw(&Report::parse(text).unwrap());
        assert_eq!(size.calls, 2);
        let trace = perfetto::decode(&bytes).unwrap();
        let of = |track: &str| -> Vec<_> {
            let slices = trace.slices.iter().filter(|slice| slice.track == track);
            slices.map(|s| (s.start, s.end, s.flow)).collect()
        };
        let (client, server) = (of("client/6"), of("echo/7"));
        assert_eq!(client, server);
        assert_eq!(client.len(), 2);
        assert_eq!((client[0].1, client[1].1), (200, 340));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_thread() {
        let text = "task 1 a\nthread 6 1\nmessage 4200 request x\nlost 0\n\
            event 1 0 2 6 9 4200\nevent 2 0 11 9 2 0\nevent 3 0 18 9 2 98\nevent 4 0 16 9 6 2\n\
            event 5 0 8 6 0 0\n";
        let (bytes, _) = trace::draw(&Report::parse(text).unwrap());
        let trace = perfetto::decode(&bytes).unwrap();
        let open = trace.slices.iter().find(|slice| slice.track == "a/6");
        assert_eq!(open.unwrap().name, "x (no answer yet)");
        assert!(trace.instants.iter().any(|(track, ..)| track == "b/6"));
    }
}
