use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::store::{Options, Owner};

const YOUTH: Duration = Duration::from_secs(60);

struct Directory {
    parent: tempfile::TempDir,
    network: Network,
}

impl Directory {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        // Documentation addresses: no interface of the machine that runs the test has them.
        let ipam = json!({"dataDir": parent.path(), "ranges": [[{"subnet": "198.51.100.0/29"}], [{"subnet": "2001:db8::/64"}]]});
        let network = Network::of_config("net1", &json!({"name": "net1", "ipam": ipam})).unwrap();
        fs::create_dir(&network.directory).unwrap();
        Self { parent, network }
    }

    fn path(&self) -> &Path {
        &self.network.directory
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
    }

    fn audit(&self) -> Audit {
        Audit::of(&self.network, &Evidence::of_an_empty_node(), YOUTH).unwrap()
    }

    fn states(&self) -> Vec<(String, &'static str)> {
        let audit = self.audit();
        audit.reservations.iter().map(|it| (it.address.to_string(), it.state.as_str())).collect()
    }
}

#[test]
fn every_state_is_recognised_and_only_wrong_ones_are_faults() {
    let directory = Directory::new();
    assert!(!directory.audit().finds_fault());
    directory.write("198.51.100.2", "gone\r\neth0");
    directory.write("198.51.100.3", "");
    directory.write("198.51.100.4", "kept for the printer");
    fs::create_dir(directory.path().join("198.51.100.5")).unwrap();
    directory.write("203.0.113.9", "gone-too");
    fs::write(directory.path().join("2001:db8::5"), "new\r\neth0").unwrap();
    let expected = [
        ("198.51.100.2", "leaked"),
        ("198.51.100.3", "torn"),
        ("198.51.100.4", "foreign"),
        ("198.51.100.5", "foreign"),
        ("203.0.113.9", "leaked"),
        ("2001:db8::5", "young"),
    ];
    assert_eq!(directory.states(), expected.map(|(address, state)| (address.to_owned(), state)));
    let audit = directory.audit();
    assert!(audit.finds_fault());
    let outside: Vec<_> = audit.reservations.iter().filter(|it| it.is_outside).collect();
    assert_eq!(outside.len(), 1);
    let first = &audit.ranges[0];
    assert_eq!(first.range, "198.51.100.1-198.51.100.6");
    assert_eq!((first.size, first.held, first.free, first.leaked, first.torn), (5, 3, 2, 1, 1));
    assert_eq!(audit.ranges[2].range, "(outside every range)");
    assert!(audit.reservations[0].held >= Duration::from_secs(3600));
}

#[test]
fn a_second_address_of_one_set_and_a_second_file_of_one_address_are_duplicates() {
    let directory = Directory::new();
    directory.write("198.51.100.2", "c1\r\neth0");
    directory.write("198.51.100.3", "c1\r\neth0");
    directory.write("198.51.100.4", "c1\r\neth1");
    directory.write("2001:db8::5", "c1\r\neth0");
    directory.write("2001:db8::6", "c2\r\neth0");
    directory.write("2001:0db8::6", "c3\r\neth0");
    let audit = directory.audit();
    let duplicated: Vec<_> =
        audit.reservations.iter().filter(|it| it.is_duplicated).map(|it| it.address.to_string()).collect();
    assert_eq!(duplicated, ["198.51.100.2", "198.51.100.3", "2001:db8::6", "2001:db8::6"]);
    assert_eq!(audit.ranges[0].duplicated, 2);
}

#[test]
fn nothing_is_leaked_when_something_could_not_be_read() {
    let directory = Directory::new();
    directory.write("198.51.100.2", "c1\r\neth0");
    let mut evidence = Evidence::default();
    evidence.failures.push("cannot look".to_owned());
    let audit = Audit::of(&directory.network, &evidence, YOUTH).unwrap();
    assert_eq!(audit.reservations[0].state, State::Uncertain);
    assert!(!audit.finds_fault());
}

#[test]
fn only_unchanged_reservations_are_released() {
    let directory = Directory::new();
    for last in 2..=4 {
        directory.write(&format!("198.51.100.{last}"), &format!("c{last}\r\neth0"));
    }
    let audit = directory.audit();
    fs::remove_file(directory.path().join("198.51.100.3")).unwrap();
    directory.write("198.51.100.3", "another\r\neth0");
    fs::remove_file(directory.path().join("198.51.100.4")).unwrap();
    let released = directory.network.release(&audit.reservations).unwrap();
    assert_eq!(released, [IpAddr::from([198, 51, 100, 2])]);
    assert_eq!(directory.states().len(), 1);
    let mut store = Store::create(directory.path(), Options::default()).unwrap();
    let owner = |container_id| Owner { container_id, interface: "eth0" };
    assert_eq!(store.addresses_of(owner("another")).unwrap().len(), 1);
    assert_eq!(store.addresses_of(owner("c2")).unwrap().len(), 0);
}

#[test]
fn a_network_without_a_directory_has_no_reservations() {
    let directory = Directory::new();
    let network = Network::of_directory(&directory.parent.path().join("net2"));
    let audit = Audit::of(&network, &Evidence::default(), YOUTH).unwrap();
    assert!(audit.reservations.is_empty() && audit.ranges.is_empty());
    assert!(!network.directory.exists());
}
