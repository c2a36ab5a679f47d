//! One call of a plugin, as a runtime makes it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::config::with_prev_result;

/// One call of a plugin, to be changed before it is made.
pub struct Call {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// The error that a plugin printed.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub code: u64,
    /// The sentence alone, which tools may look for.
    pub msg: String,
    /// Sentence and details as a runtime shows them.
    pub message: String,
    /// Standard error.
    pub stderr: String,
}

impl Call {
    /// Sets a variable of the environment; an empty one stays in it.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    /// Has the plugin executed by `command`, a program and its arguments, such as `strace`.
    ///
    /// # Panics
    /// When the command is empty.
    pub fn executed_by(mut self, command: &[String]) -> Self {
        let (program, arguments) = command.split_first().expect("a command has a program");
        let plugin = std::mem::replace(&mut self.executable, program.into());
        self.arguments = arguments.iter().map(OsString::from).chain([plugin.into()]).collect();
        self
    }

    /// Calls `verb` with `stdin` and returns what came out.
    ///
    /// # Panics
    /// When the plugin cannot be executed.
    pub fn raw(&self, verb: &str, stdin: &str) -> Output {
        self.start_text(verb, stdin).output()
    }

    /// Starts `verb` with `config` and does not wait for its end.
    ///
    /// # Panics
    /// When the plugin cannot be executed.
    pub fn start(&self, verb: &str, config: &Value) -> Running {
        self.start_text(verb, &config.to_string())
    }

    /// Starts `verb` and ends it after `moment` (SIGKILL), wherever it is; tells whether it had not ended by
    /// itself.
    ///
    /// # Panics
    /// When the plugin cannot be executed.
    pub fn kill_after(&self, verb: &str, config: &Value, moment: Duration) -> bool {
        let running = self.start(verb, config);
        std::thread::sleep(moment);
        running.kill()
    }

    /// As [`Call::raw`], with standard output elsewhere.
    ///
    /// # Panics
    /// When the plugin cannot be executed.
    pub fn raw_to(&self, stdout: Stdio, verb: &str, stdin: &str) -> Output {
        self.start_to(stdout, verb, stdin).output()
    }

    fn start_text(&self, verb: &str, stdin: &str) -> Running {
        self.start_to(Stdio::piped(), verb, stdin)
    }

    fn start_to(&self, stdout: Stdio, verb: &str, stdin: &str) -> Running {
        use std::io::Write;
        let mut child = Command::new(&self.executable)
            .args(&self.arguments)
            .env_clear()
            .env("CNI_COMMAND", verb)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the plugin starts");
        let mut pipe = child.stdin.take().expect("standard input is a pipe");
        // A plugin may answer without reading.
        pipe.write_all(stdin.as_bytes()).ok();
        Running(child)
    }

    /// Calls `verb` with `config`; `Null` when nothing was printed.
    ///
    /// # Errors
    /// The error that the plugin printed.
    ///
    /// # Panics
    /// When the plugin breaks the protocol: output that is not JSON, or an error without a code.
    pub fn verb(&self, verb: &str, config: &Value) -> Result<Value, Failure> {
        self.verb_text(verb, &config.to_string())
    }

    /// As [`Call::verb`], with any text on standard input.
    ///
    /// # Errors
    /// The error that the plugin printed.
    ///
    /// # Panics
    /// When the plugin breaks the protocol.
    pub fn verb_text(&self, verb: &str, stdin: &str) -> Result<Value, Failure> {
        self.start_text(verb, stdin).answer()
    }

    /// ADD that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn add(&self, config: &Value) -> Value {
        self.verb("ADD", config).unwrap_or_else(|failure| panic!("ADD: {failure:?}"))
    }

    /// CHECK with ADD's result that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn check(&self, config: &Value, result: &Value) {
        let config = with_prev_result(config, result);
        self.verb("CHECK", &config).unwrap_or_else(|failure| panic!("CHECK: {failure:?}"));
    }

    /// DEL that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn del(&self, config: &Value) {
        self.verb("DEL", config).unwrap_or_else(|failure| panic!("DEL: {failure:?}"));
    }
}

/// A plugin that was started.
pub struct Running(Child);

impl Running {
    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it at this moment (SIGKILL), wherever it is; tells whether it had not ended by itself.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(mut self) -> bool {
        // One that has ended but was not waited for can be killed without an effect.
        self.0.kill().ok();
        self.0.wait().expect("a child can be waited for").signal().is_some()
    }

    /// Sends it this signal, such as `CONT`; tells whether it has ended.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn has_ended_after(&mut self, signal: &str) -> bool {
        // One that has ended meanwhile gets none.
        Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status().ok();
        self.0.try_wait().expect("a child can be waited for").is_some()
    }

    fn output(self) -> Output {
        self.0.wait_with_output().expect("the plugin ends")
    }

    /// Waits for its end; `Null` when nothing was printed.
    ///
    /// # Errors
    /// The error that the plugin printed.
    ///
    /// # Panics
    /// When the plugin breaks the protocol.
    pub fn answer(self) -> Result<Value, Failure> {
        let output = self.output();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let answer = if stdout.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&stdout)
                .unwrap_or_else(|error| panic!("not JSON ({error}): {stdout}{stderr}"))
        };
        if output.status.success() {
            return Ok(answer);
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (msg, details) = (text("msg"), text("details"));
        Err(Failure {
            code: answer["code"].as_u64().unwrap_or_else(|| panic!("no code: {stdout}{stderr}")),
            message: if details.is_empty() { msg.clone() } else { format!("{msg}; {details}") },
            msg,
            stderr,
        })
    }
}
