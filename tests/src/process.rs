//! Processes that end with the one who started them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A process whose standard output is read. It is killed when this value goes, and when the thread that
/// started it ends, however that happens.
pub struct Process {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `command`, words separated by spaces, in a network namespace or in the thread's own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(netns: Option<&str>, command: &str) -> Self {
        let mut process = Command::new("setpriv");
        process.args(["--pdeathsig", "KILL"]);
        if let Some(netns) = netns {
            process.args(["nsenter", &format!("--net={netns}")]);
        }
        let mut child = process
            .args(command.split_whitespace())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output }
    }

    /// Reads what it prints until a line that contains `word`.
    ///
    /// # Panics
    /// When it ends before.
    pub fn wait_for(&mut self, word: &str) {
        let output = self.output.as_mut().expect("standard output is a pipe");
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            let read = output.read_line(&mut line).expect("a program of the load prints text");
            assert!(read > 0, "the load's server ended before it was ready");
        }
    }

    /// Returns its output until its end. After `patience` it is asked to end, and killed when it does not within
    /// two seconds.
    pub fn output(mut self, patience: Duration) -> String {
        let Some(mut pipe) = self.output.take() else { return String::new() };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            // Output that is not text ends it, as the end of the pipe does.
            pipe.read_to_string(&mut text).ok();
            sender.send(text).ok();
        });
        receiver
            .recv_timeout(patience)
            .or_else(|_| {
                Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().ok();
                receiver.recv_timeout(Duration::from_secs(2))
            })
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
