//! A program of this crate as a process of its own.
#![allow(dead_code, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub const MQSERVER: &str = env!("CARGO_BIN_EXE_mqserver");
pub const MQBROKER: &str = env!("CARGO_BIN_EXE_mqbroker");

/// A started program; killed when a test fails.
pub struct Process {
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Process { child, out }
    }

    /// The next line on stdout; empty at its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; what was left on stdout, and how long it took.
    pub fn ended(mut self) -> (ExitStatus, String, Duration) {
        let begun = Instant::now();
        let status = self.child.wait().unwrap();
        let took = begun.elapsed();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status, rest, took)
    }

    /// Sends a signal; the program ends well, in time, and says nothing more.
    pub fn end(self, signal: Signal) {
        self.signal(signal);
        let (status, rest, took) = self.ended();
        assert!(status.success(), "{status}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(rest, "", "one line on stdout");
    }
}

/// The last line that a program says on stderr before it ends with this code.
pub fn failing(command: &mut Command, code: i32) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{text}");
    assert!(stdout.is_empty(), "{:?}", String::from_utf8_lossy(&stdout));
    // The log may say more before; the reason is the last line.
    text.lines().last().unwrap_or_default().to_owned()
}

/// Output and exit code of a program that ends by itself.
pub fn output(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}
