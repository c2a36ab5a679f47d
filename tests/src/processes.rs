//! Processes that end with the test that started them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The shell prints this after a command, and the command's exit code.
const DONE: &str = "-- done:";

/// A process namespace with a shell as its first process, in the namespaces of the thread that made it.
///
/// When the shell ends, the kernel kills all the others, also those with other parents. It ends when nothing holds
/// its standard input open any more: with this value, or with the test process, however that ends.
///
/// The processes see a `/proc` of their own. What they mount below a folder that is shared (`mount
/// --make-shared`) is seen outside as well.
pub struct Processes {
    unshare: Child,
    commands: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Processes {
    /// A new namespace.
    ///
    /// # Panics
    /// Without root.
    pub fn new() -> Self {
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--propagation", "unchanged", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let commands = unshare.stdin.take();
        let output = BufReader::new(unshare.stdout.take().expect("standard output is a pipe"));
        Self { unshare, commands, output }
    }

    /// Runs a command and returns what it printed. With `&` at its end, the command goes on by itself.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&mut self, command: &str) -> String {
        let shell = self.commands.as_mut().expect("the shell runs");
        // Its own standard input is the commands that follow.
        writeln!(shell, "{{ {command}\n}} < /dev/null; code=$?; echo; echo {DONE} $code")
            .expect("the shell reads");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the shell prints text");
            assert!(read > 0, "the shell has ended with: {command}\n{printed}");
            if let Some(code) = line.strip_prefix(DONE) {
                assert!(code.trim() == "0", "{command}: exit code {code}{printed}");
                return printed.trim_end().to_owned();
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It has nothing to say; all processes of the namespace are gone when it ends.
        self.unshare.wait().ok();
    }
}
