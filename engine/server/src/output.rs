//! What the program writes to standard output and error, and what becomes of it when nobody reads any more.
//!
//! `println!` panics then (`parlance calls list | head -1`), and a panic in `serve` would leave its private Postgres
//! behind. So a command that does one thing writes with `outln!` and ends quietly, as SIGPIPE would have it; `serve`
//! writes with [`notice`] and goes on. The lints forbid the standard macros in this crate.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::exit;

/// The exit code of a program that SIGPIPE ended.
const READER_GONE: i32 = 128 + 13;

/// As `print!`, but ends the program quietly when nobody reads. For commands that do one thing.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// As `println!`, but ends the program quietly when nobody reads. For commands that do one thing.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `eprintln!`, but without a panic when nobody reads.
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::print_error(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, out, outln};

/// Writes to standard output; ends the program if that can't be done.
pub fn print(text: Arguments<'_>) {
    let written = stdout().lock().write_fmt(text);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(READER_GONE),
        Err(error) => {
            errln!("parlance: could not print: {error}");
            exit(1);
        }
    }
}

/// Writes to standard error. Whoever closed it does not want to know.
pub fn print_error(text: Arguments<'_>) {
    stderr().lock().write_fmt(text).ok();
}

/// Tells the operator something on standard output, who may have gone: what runs goes on.
pub fn notice(text: &str) {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}
