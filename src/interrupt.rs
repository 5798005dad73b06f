//! SIGINT and SIGTERM: long work stops at its next whole step, keeps its state, and says how to
//! resume.
//!
//! After [`watch`] a first signal only sets a flag, which loops test with [`check`]. A second
//! signal ends the process at once, as does the first one in a command that does not watch: it
//! leaves at most the draft of a file, which the next command removes. Either way the exit code is
//! the shell's for the signal, 128 and its number.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A signal that interrupts work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", if *.0 == SIGINT { "SIGINT" } else { "SIGTERM" })]
pub struct Interrupt(i32);

/// What signals set.
#[derive(Default)]
struct Flags {
    asked: Arc<AtomicBool>,
    /// The number of the last signal; 0 before the first.
    signal: Arc<AtomicUsize>,
}

static FLAGS: LazyLock<Flags> = LazyLock::new(Flags::default);

/// From now on a first SIGINT or SIGTERM only sets a flag.
///
/// # Errors
/// Those of the operating system.
pub fn watch() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        let Flags {
            asked,
            signal: last,
        } = &*FLAGS;
        let code = i32::from(Interrupt(signal).exit_code());
        // In this order: a second signal must find the flag that the first one set.
        flag::register_conditional_shutdown(signal, code, Arc::clone(asked))?;
        flag::register(signal, Arc::clone(asked))?;
        flag::register_usize(signal, Arc::clone(last), signal as usize)?;
    }
    Ok(())
}

/// Whether work may continue.
///
/// # Errors
/// The signal, if there was one.
pub fn check() -> Result<(), Interrupt> {
    Interrupt::of(FLAGS.signal.load(Ordering::Relaxed))
}

impl Interrupt {
    /// Whether work may continue after the signal with this number, 0 for none.
    ///
    /// # Errors
    /// The signal, if it is one.
    pub fn of(number: usize) -> Result<(), Self> {
        match number {
            0 => Ok(()),
            signal => Err(Self(signal as i32)),
        }
    }

    /// The signal's number.
    pub fn number(self) -> usize {
        self.0 as usize
    }

    /// The exit code of a process that a signal ended.
    pub fn exit_code(self) -> u8 {
        128 + self.0 as u8
    }

    /// Sends the signal to another process of this user.
    pub fn forward(self, process: u32) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process};

            let signal = if self.0 == SIGINT {
                Signal::INT
            } else {
                Signal::TERM
            };
            if let Some(process) = Pid::from_raw(process.cast_signed()) {
                // A process that has just ended needs no signal.
                let _ = kill_process(process, signal);
            }
        }
        #[cfg(not(unix))]
        let _ = process;
    }
}

/// A file that reaches the limit of `ulimit -f` becomes an error of the write, not the end of the
/// process.
pub fn outlive_file_limits() {
    #[cfg(unix)]
    // A system that does not support this stops the process, as before.
    drop(flag::register(
        signal_hook::consts::SIGXFSZ,
        Arc::new(AtomicBool::new(false)),
    ));
}
