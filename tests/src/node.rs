//! A host of its own for one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::executable::installed;
use crate::pod::Pod;

/// The thread's own network and mount namespace, with an empty `/var/lib`. Processes that the thread
/// starts are in it; it ends with the thread and the last of them, whatever happens to the test.
pub struct Node {
    bin: PathBuf,
    paths: Vec<PathBuf>,
}

impl Node {
    /// Moves the calling thread to a new node with weir installed.
    ///
    /// # Panics
    /// Without root.
    #[expect(clippy::new_without_default, reason = "making a node moves the thread")]
    pub fn new() -> Self {
        let bin = installed().to_owned();
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("tests run as root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts can be made private");
        mount(Some("tmpfs"), "/var/lib", Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs can be mounted");
        crate::shell("ip link set lo up");
        Self { paths: vec![bin.clone()], bin }
    }

    /// The folder with weir under all its names.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Executes plugins from `folder` first, such as [`crate::REFERENCE`].
    pub fn prefer(mut self, folder: impl Into<PathBuf>) -> Self {
        self.paths.insert(0, folder.into());
        self
    }

    /// `CNI_PATH`.
    pub fn path(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// A call of `plugin` for interface `eth0` of `pod`.
    pub fn call(&self, plugin: &str, pod: &Pod) -> Call {
        let file = self.paths.iter().map(|folder| folder.join(plugin)).find(|file| file.is_file());
        Call {
            executable: file.unwrap_or_else(|| panic!("no plugin {plugin} in {}", self.path())),
            variables: vec![
                ("CNI_CONTAINERID", pod.id().to_owned()),
                ("CNI_NETNS", pod.netns()),
                ("CNI_IFNAME", "eth0".to_owned()),
                ("CNI_PATH", self.path()),
            ],
        }
    }

    /// The operator's command line with these arguments, words separated by spaces.
    pub fn weir(&self, arguments: &str) -> Output {
        Command::new(self.bin.join("weir"))
            .args(arguments.split_whitespace())
            .env("CNI_PATH", self.path())
            .output()
            .expect("weir starts")
    }

    /// Everything that the kernel and the disk show of this node: to be compared before and after.
    pub fn fingerprint(&self) -> String {
        crate::shell(
            "ip -o link | sed 's/^[0-9]*: //; s/ qdisc [a-z]*//; s/state [A-Z]*//'; ip -o addr show scope global | sed 's/^[0-9]*: //'; \
             ip rule; ip -6 rule; nft list ruleset; find /var/lib -type f ! -name 'last_reserved_ip.*' ! -name lock | sort",
        )
    }
}

/// One call of a plugin, to be changed before it is made.
pub struct Call {
    executable: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// What a plugin printed when it failed.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub code: u64,
    /// Message and details as a runtime shows them.
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

    /// Calls `verb` with `stdin` and returns what came out.
    ///
    /// # Panics
    /// When the plugin cannot be executed.
    pub fn raw(&self, verb: &str, stdin: &str) -> Output {
        use std::io::Write;
        let mut child = Command::new(&self.executable)
            .env_clear()
            .env("CNI_COMMAND", verb)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the plugin starts");
        let mut pipe = child.stdin.take().expect("standard input is a pipe");
        // A plugin may answer without reading.
        pipe.write_all(stdin.as_bytes()).ok();
        drop(pipe);
        child.wait_with_output().expect("the plugin ends")
    }

    /// Calls `verb` with `config`; `Null` when nothing was printed.
    ///
    /// # Errors
    /// What the plugin printed when it failed.
    ///
    /// # Panics
    /// When the plugin breaks the protocol: output that is no JSON, or an error without a code.
    pub fn verb(&self, verb: &str, config: &Value) -> Result<Value, Failure> {
        self.verb_text(verb, &config.to_string())
    }

    /// As [`Call::verb`], with any text on standard input.
    ///
    /// # Errors
    /// What the plugin printed when it failed.
    ///
    /// # Panics
    /// When the plugin breaks the protocol.
    pub fn verb_text(&self, verb: &str, stdin: &str) -> Result<Value, Failure> {
        let output = self.raw(verb, stdin);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let answer = if stdout.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {stdout}{stderr}"))
        };
        if output.status.success() {
            return Ok(answer);
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (message, details) = (text("msg"), text("details"));
        Err(Failure {
            code: answer["code"].as_u64().unwrap_or_else(|| panic!("no code: {stdout}{stderr}")),
            message: if details.is_empty() { message } else { format!("{message}; {details}") },
            stderr,
        })
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

/// The config with `prevResult`.
pub fn with_prev_result(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    config
}
