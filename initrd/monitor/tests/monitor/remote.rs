//! The host's tool on the command channel.

use channel::{Decoder, Exit, Frame, HEADER_SIZE, MAX_PAYLOAD, encode};

use super::fakes::{CHANNEL, System};

fn send(system: &System, frame: &Frame<'_>) {
    let mut bytes = [0; HEADER_SIZE + MAX_PAYLOAD];
    let size = encode(frame, &mut bytes).expect("it fits");
    system.send(CHANNEL, &bytes[..size]);
}

/// What a command said.
#[derive(Default)]
struct Said {
    ready: usize,
    stdout: Vec<u8>,
    stderr: String,
    exit: Option<Exit>,
}

fn heard(written: &[u8]) -> Said {
    let mut said = Said::default();
    let mut decoder = Decoder::new();
    for byte in written {
        match decoder.push(*byte).expect("only frames") {
            None => {}
            Some(Frame::Ready) => said.ready += 1,
            Some(Frame::Stdout(bytes)) => said.stdout.extend_from_slice(bytes),
            Some(Frame::Stderr(bytes)) => said.stderr += &String::from_utf8_lossy(bytes),
            Some(Frame::Exit(exit)) => said.exit = Some(exit),
            Some(other) => panic!("{other:?} is the host's"),
        }
    }
    said
}

/// Runs a command and waits for its end.
fn run(payload: &[u8], stdin: &[&[u8]]) -> (System, Said) {
    let system = System::start();
    system.wait(|world| (heard(&world.written[CHANNEL]).ready == 1).then_some(()));
    send(&system, &Frame::Run(payload));
    for bytes in stdin {
        send(&system, &Frame::Stdin(bytes));
    }
    send(&system, &Frame::StdinEof);
    let said = system.wait(|world| {
        let said = heard(&world.written[CHANNEL]);
        said.exit.is_some().then_some(said)
    });
    (system, said)
}

#[test]
fn a_builtin_answers_on_the_channel() {
    let (_system, said) = run(b"help\0", &[]);
    let text = String::from_utf8(said.stdout).expect("text");
    assert!(text.contains("svc [list"), "{text}");
    assert!(!text.contains('\r'), "bytes are exact");
    assert_eq!(
        (said.stderr.as_str(), said.exit),
        ("", Some(Exit::Exited(0)))
    );
}

#[test]
fn a_program_gets_its_arguments_and_gives_its_status() {
    let (_system, said) = run(b"args\0a b\0\0\xc3\xa9\0", &[]);
    assert_eq!(said.stdout, "[\"a b\", \"\", \"\u{e9}\"]\n".as_bytes());
    assert_eq!(said.exit, Some(Exit::Exited(7)));
    let (_system, said) = run(b"fault\0", &[]);
    assert_eq!(
        said.exit,
        Some(Exit::Exception {
            kind: 1,
            signal: 11
        })
    );
}

#[test]
fn standard_input_passes_through_byte_for_byte() {
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| ((n * n) >> 3) as u8).collect();
    let (_system, said) = run(
        b"cat\0",
        &[&bytes[..4096], b"", &bytes[4096..8192], &bytes[8192..9000]],
    );
    assert!(said.stdout == bytes[..9000], "{} bytes", said.stdout.len());
    assert_eq!(said.exit, Some(Exit::Exited(0)));
}

#[test]
fn what_fails_says_why_and_has_a_status() {
    let (_system, said) = run(b"nonsense\0", &[]);
    assert_eq!(said.exit, Some(Exit::NoSuchCommand));
    assert_eq!(said.stderr, "nonsense: no such command; try help\n");
    let (_system, said) = run(b"svc\0kill\0", &[]);
    assert_eq!(said.exit, Some(Exit::Exited(2)));
    let (_system, said) = run(b"svc\0kill\0nobody\0", &[]);
    assert_eq!(said.exit, Some(Exit::Exited(1)));
    let (_system, said) = run(b"args\0\xff\0", &[]);
    assert_eq!(said.exit, Some(Exit::Exited(2)));
}

#[test]
fn unwanted_input_does_not_hold_back_the_order_to_shut_down() {
    let bytes = [7; 4096];
    let (system, _) = run(b"args\0", &[&bytes[..]; 12]);
    for _ in 0..12 {
        send(&system, &Frame::Stdin(&bytes));
    }
    send(&system, &Frame::Shutdown);
    system.wait(|world| (world.shutdowns == 1).then_some(()));
}
