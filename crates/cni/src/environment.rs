//! The environment of a call: `CNI_COMMAND` and the other variables.

use crate::arguments::Arguments;
use crate::failure::{Answer, Failure, code};

/// The verb of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Check that an attachment is as ADD left it.
    Check,
    /// Detach a container.
    Del,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Report whether ADD can be served.
    Status,
    /// Report the supported versions.
    Version,
}

impl Command {
    /// Returns the text of `CNI_COMMAND`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    fn parse(text: &str) -> Answer<Self> {
        [Self::Add, Self::Check, Self::Del, Self::Gc, Self::Status, Self::Version]
            .into_iter()
            .find(|command| command.as_str() == text)
            .ok_or_else(|| invalid(format!("unknown CNI_COMMAND: {text}")))
    }

    /// Returns whether the call is about one attachment.
    pub(crate) const fn has_attachment(self) -> bool {
        matches!(self, Self::Add | Self::Check | Self::Del)
    }
}

/// The variables as they were set. An empty text stands for an absent variable.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// `CNI_ARGS`.
    pub arguments: String,
    /// `CNI_PATH`.
    pub path: String,
    /// `CNI_NETNS_OVERRIDE`.
    pub netns_override: String,
}

impl Variables {
    /// Reads the variables of this process.
    pub(crate) fn of_process() -> Self {
        let read = |name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Self {
            command: read("CNI_COMMAND"),
            container_id: read("CNI_CONTAINERID"),
            netns: read("CNI_NETNS"),
            interface: read("CNI_IFNAME"),
            arguments: read("CNI_ARGS"),
            path: read("CNI_PATH"),
            netns_override: read("CNI_NETNS_OVERRIDE"),
        }
    }

    /// Returns the variables of the same call with another verb, for a delegate.
    pub(crate) fn with_command(&self, command: Command) -> Self {
        Self { command: command.as_str().to_owned(), ..self.clone() }
    }

    /// Returns names and values, for a child process.
    pub fn pairs(&self) -> [(&'static str, &str); 7] {
        [
            ("CNI_COMMAND", &self.command),
            ("CNI_CONTAINERID", &self.container_id),
            ("CNI_NETNS", &self.netns),
            ("CNI_IFNAME", &self.interface),
            ("CNI_ARGS", &self.arguments),
            ("CNI_PATH", &self.path),
            ("CNI_NETNS_OVERRIDE", &self.netns_override),
        ]
    }

    /// Checks the variables that the verb needs, in the order of the reference: every value must be valid, then every
    /// required variable must be set.
    ///
    /// # Errors
    /// Code 4; the message names the variable or its value.
    pub(crate) fn validate(self) -> Answer<Environment> {
        let command = match self.command.as_str() {
            "" => None,
            text => Some(Command::parse(text)?),
        };
        let attachment = command.is_none_or(Command::has_attachment);
        if attachment && !self.container_id.is_empty() {
            validate_container_id(&self.container_id)?;
        }
        if attachment && !self.interface.is_empty() {
            validate_interface_name(&self.interface)?;
        }
        let needs_netns = matches!(command, None | Some(Command::Add | Command::Check));
        let needs_path = command != Some(Command::Version);
        let missing: Vec<_> = [
            ("CNI_COMMAND", command.is_none(), true),
            ("CNI_CONTAINERID", self.container_id.is_empty(), attachment),
            ("CNI_NETNS", self.netns.is_empty(), needs_netns),
            ("CNI_IFNAME", self.interface.is_empty(), attachment),
            ("CNI_PATH", self.path.is_empty(), needs_path),
        ]
        .into_iter()
        .filter_map(|(name, empty, needed)| (empty && needed).then_some(name))
        .collect();
        let Some(command) = command.filter(|_| missing.is_empty()) else {
            return Err(invalid(format!("required env variables [{}] missing", missing.join(","))));
        };
        Ok(Environment { command, arguments: Arguments::new(&*self.arguments), variables: self })
    }
}

/// A validated environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The verb.
    pub command: Command,
    /// `CNI_ARGS`.
    pub arguments: Arguments,
    /// The variables as they were set.
    pub variables: Variables,
}

impl Environment {
    /// Returns whether `CNI_NETNS_OVERRIDE` allows the plugin's own namespace.
    pub(crate) fn allows_own_namespace(&self) -> bool {
        let value = &self.variables.netns_override;
        value == "1" || value.eq_ignore_ascii_case("true")
    }
}

/// Returns whether the text is a valid container ID or network name, `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$` (specification,
/// section 2, "Parameters").
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Refuses the names that the kernel reserves: `all` and `default` name the parameters of all and of new interfaces
/// (`net/ipv4/conf/all`; `sysctl_dev_name_is_allowed` in linux/inetdevice.h), and every namespace has a `lo`.
///
/// # Errors
/// Code 4.
pub(crate) fn validate_new_interface(name: &str) -> Answer<()> {
    let problem = match name {
        "all" => "interface name is reserved for the parameters of all interfaces (net/ipv4/conf/all)",
        "default" => {
            "interface name is reserved for the parameters of new interfaces (net/ipv4/conf/default)"
        }
        "lo" => "interface name is reserved for the loopback interface, which every namespace has",
        _ => return Ok(()),
    };
    Err(invalid_interface(name, problem))
}

fn validate_container_id(container_id: &str) -> Answer<()> {
    if is_identifier(container_id) {
        return Ok(());
    }
    Err(invalid("invalid characters in containerID")
        .with_details(format!("CNI_CONTAINERID is {container_id:?}")))
}

/// Checks the kernel's rules (`dev_valid_name` and `dev_prep_valid_name` in net/core/dev.c). The sentences are the
/// reference's.
fn validate_interface_name(name: &str) -> Answer<()> {
    const IFNAMSIZ: usize = 16;
    let problem = if name.len() >= IFNAMSIZ {
        "interface name is too long"
    } else if name == "." || name == ".." {
        "interface name is . or .."
    } else if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        "interface name contains / or : or whitespace characters"
    } else if name.contains('%') {
        "interface name contains %, which the kernel replaces by a number"
    } else {
        return Ok(());
    };
    Err(invalid_interface(name, problem))
}

fn invalid_interface(name: &str, problem: &str) -> Failure {
    invalid(problem).with_details(format!("CNI_IFNAME is {name:?}"))
}

fn invalid(sentence: impl Into<String>) -> Failure {
    Failure::new(code::INVALID_ENVIRONMENT, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, code};

    fn add() -> Variables {
        Variables {
            command: "ADD".into(),
            container_id: "pod-1".into(),
            netns: "/var/run/netns/pod-1".into(),
            interface: "eth0".into(),
            path: "/opt/cni/bin".into(),
            ..Variables::default()
        }
    }

    fn failure(variables: Variables) -> Failure {
        variables.validate().unwrap_err()
    }

    #[test]
    fn every_missing_variable_is_named_in_the_references_order() {
        let failure = failure(Variables { command: "ADD".into(), ..Variables::default() });
        assert_eq!(failure.code, code::INVALID_ENVIRONMENT);
        assert_eq!(
            failure.msg,
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing"
        );
    }

    #[test]
    fn del_needs_no_namespace_and_gc_no_container() {
        let del = Variables { command: "DEL".into(), netns: String::new(), ..add() };
        assert_eq!(del.validate().unwrap().command, Command::Del);
        let gc = Variables { command: "GC".into(), path: "/bin".into(), ..Variables::default() };
        assert_eq!(gc.validate().unwrap().command, Command::Gc);
    }

    #[test]
    fn version_needs_only_the_command() {
        let version = Variables { command: "VERSION".into(), ..Variables::default() };
        assert_eq!(version.validate().unwrap().command, Command::Version);
    }

    #[test]
    fn bad_names_are_refused_with_their_value() {
        for (container_id, valid) in
            [("a", true), ("a.b_c-d", true), ("-a", false), ("a/b", false), ("é", false)]
        {
            let outcome = Variables { container_id: container_id.into(), ..add() }.validate();
            assert_eq!(outcome.is_ok(), valid, "{container_id}");
        }
        for interface in ["sixteen-bytes-xy", ".", "..", "a/b", "a:b", "a b", "eth%d"] {
            let failure = failure(Variables { interface: interface.into(), ..add() });
            assert_eq!(failure.code, code::INVALID_ENVIRONMENT);
            assert!(failure.details.contains(interface), "{failure}");
        }
    }

    #[test]
    fn a_verb_that_does_not_exist_is_named() {
        let failure = failure(Variables { command: "add".into(), ..add() });
        assert_eq!((failure.code, failure.msg.as_str()), (4, "unknown CNI_COMMAND: add"));
    }

    #[test]
    fn names_that_the_kernel_reserves_are_refused_only_for_a_new_interface() {
        for name in ["all", "default", "lo"] {
            assert!(validate_interface_name(name).is_ok());
            let failure = validate_new_interface(name).unwrap_err();
            assert_eq!(failure.code, code::INVALID_ENVIRONMENT);
            assert!(failure.msg.contains("reserved") && failure.details.contains(name), "{failure}");
        }
        assert!(validate_new_interface("lo0").is_ok());
    }
}
