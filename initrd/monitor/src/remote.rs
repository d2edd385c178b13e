//! The command channel's session: one command of the host's tool, as if it ran there.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use channel::{Decoder, Exit, Frame};
use libmach::abi::kern_return::KernReturn;
use libmach::{Error, Result};

use crate::port::Port;
use crate::session::Session;
use crate::shell::Shell;

/// Says that commands are taken, and serves the channel.
///
/// # Errors
/// When the channel is gone, its bytes are no frames, or the machine cannot be turned off.
pub async fn attend(shell: &Rc<Shell>, session: &Rc<Session>, port: &Port) -> Result<()> {
    session.ready().await?;
    let mut decoder = Decoder::new();
    loop {
        session.input().room().await;
        for byte in port.read().await?.iter() {
            let frame = decoder
                .push(*byte)
                .map_err(|_| Error::Code(KernReturn::InvalidValue))?;
            if let Some(frame) = frame {
                take(shell, session, &frame)?;
            }
        }
    }
}

fn take(shell: &Rc<Shell>, session: &Rc<Session>, frame: &Frame<'_>) -> Result<()> {
    match *frame {
        Frame::Run(payload) => {
            let words: Result<Vec<String>, _> = channel::arguments(payload)
                .map(|word| String::from_utf8(word.to_vec()))
                .collect();
            session.input().begin();
            let (shell, session) = (Rc::clone(shell), Rc::clone(session));
            let runtime = shell.runtime.clone();
            runtime.spawn(async move {
                // A channel that is gone ends `attend` too, which reports it.
                let done = run(&shell, &session, words.ok()).await;
                done.unwrap_or_default();
            });
        }
        Frame::Stdin(bytes) => session.input().put(bytes),
        Frame::StdinEof => session.input().end(),
        Frame::Shutdown => shell.shut_down()?,
        // These go the other way.
        Frame::Ready | Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exit(_) => {
            return Err(KernReturn::InvalidValue.into());
        }
    }
    Ok(())
}

async fn run(shell: &Shell, session: &Rc<Session>, words: Option<Vec<String>>) -> Result<()> {
    let exit = match &words {
        Some(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            shell.execute(&words, session).await
        }
        None => {
            session.stderr(b"an argument is not UTF-8\n").await?;
            Exit::Exited(2)
        }
    };
    session.input().finish();
    session.exit(exit).await?;
    // Input that the command did not want must not hold back the order to shut down.
    session.input().discard();
    Ok(())
}
