use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::listing::UNFINISHED;

const C1: Owner = Owner { container_id: "c1", interface: "eth0" };
const C2: Owner = Owner { container_id: "c2", interface: "eth0" };

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(directory: &Path) -> Result<Store> {
    Store::create(directory, Options::default())
}

/// What is there beside the index.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".index");
    names.sort();
    names
}

/// A directory that is not there yet.
fn fresh() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("networks").join("net1");
    (parent, directory)
}

#[test]
fn the_files_are_the_references() {
    use std::os::unix::fs::PermissionsExt;
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    assert!(store.reserve(address("10.0.0.2"), C1).unwrap());
    assert!(store.reserve(address("fd00::2"), C1).unwrap());
    store.set_last_reserved(1, address("fd00::2")).unwrap();
    assert_eq!(names(&directory), ["10.0.0.2", "fd00::2", "last_reserved_ip.1", "lock"]);
    assert_eq!(fs::read(directory.join("fd00::2")).unwrap(), b"c1\r\neth0");
    assert_eq!(fs::read(directory.join("last_reserved_ip.1")).unwrap(), b"fd00::2");
    for name in names(&directory) {
        let mode = fs::metadata(directory.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn an_address_is_reserved_once() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    assert!(store.reserve(address("10.0.0.2"), C1).unwrap());
    assert!(!store.reserve(address("10.0.0.2"), C2).unwrap());
    assert_eq!(store.addresses_of(C1).unwrap(), [address("10.0.0.2")]);
    assert!(store.addresses_of(C2).unwrap().is_empty());
    assert_eq!(names(&directory), ["10.0.0.2", "lock"]);
}

#[test]
fn an_attachment_releases_its_own_addresses_and_no_others() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    let other_interface = Owner { interface: "eth1", ..C1 };
    for (text, owner) in [("10.0.0.2", C1), ("fd00::2", C1), ("10.0.0.3", other_interface), ("10.0.0.4", C2)]
    {
        assert!(store.reserve(address(text), owner).unwrap());
    }
    store.release_attachment(C1).unwrap();
    store.release_attachment(C1).unwrap();
    assert_eq!(names(&directory), ["10.0.0.3", "10.0.0.4", "lock"]);
}

#[test]
fn an_old_reservation_is_released_when_the_interface_has_none() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    fs::write(directory.join("10.0.0.9"), "c1").unwrap();
    store.reserve(address("10.0.0.2"), C1).unwrap();
    assert_eq!(store.addresses_of(C1).unwrap().len(), 2);
    store.release_attachment(C1).unwrap();
    assert_eq!(names(&directory), ["10.0.0.9", "lock"]);
    store.release_attachment(C1).unwrap();
    assert_eq!(names(&directory), ["lock"]);
}

#[test]
fn an_empty_reservation_is_replaced() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    fs::write(directory.join("10.0.0.2"), "").unwrap();
    fs::write(directory.join("10.0.0.3"), "\0\0\0\0").unwrap();
    assert!(store.addresses_of(C1).unwrap().is_empty());
    assert_eq!(
        store.first_free(address("10.0.0.2"), address("10.0.0.9")).unwrap(),
        Some(address("10.0.0.2"))
    );
    assert!(store.reserve(address("10.0.0.2"), C1).unwrap());
    assert!(store.reserve(address("10.0.0.3"), C2).unwrap());
    assert_eq!(store.addresses_of(C2).unwrap(), [address("10.0.0.3")]);
    assert_eq!(names(&directory), ["10.0.0.2", "10.0.0.3", "lock"]);
}

#[test]
fn the_file_of_a_killed_writer_reserves_nothing_and_is_removed() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    fs::write(directory.join(UNFINISHED), "c1\r\neth0").unwrap();
    assert!(store.addresses_of(C1).unwrap().is_empty());
    store.release_attachment(C2).unwrap();
    assert_eq!(names(&directory), ["lock"]);
}

#[test]
fn a_writer_that_was_killed_after_its_reservation_appeared_loses_nothing() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    store.reserve(address("10.0.0.2"), C1).unwrap();
    fs::hard_link(directory.join("10.0.0.2"), directory.join(UNFINISHED)).unwrap();
    assert!(store.reserve(address("10.0.0.3"), C2).unwrap());
    assert_eq!(fs::read(directory.join("10.0.0.2")).unwrap(), b"c1\r\neth0");
    assert_eq!(fs::read(directory.join("10.0.0.3")).unwrap(), b"c2\r\neth0");
    assert_eq!(names(&directory), ["10.0.0.2", "10.0.0.3", "lock"]);
}

#[test]
fn a_shorter_last_address_replaces_a_longer_one() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    assert_eq!(store.last_reserved(0), None);
    for text in ["10.0.0.254", "10.0.0.2"] {
        store.set_last_reserved(0, address(text)).unwrap();
        assert_eq!(store.last_reserved(0), Some(address(text)));
    }
    fs::write(directory.join("last_reserved_ip.0"), "").unwrap();
    assert_eq!(store.last_reserved(0), None);
}

#[test]
fn a_directory_in_place_of_a_reservation_stops_no_call() {
    let (_parent, directory) = fresh();
    let mut store = open(&directory).unwrap();
    fs::create_dir(directory.join("10.0.0.2")).unwrap();
    assert!(!store.reserve(address("10.0.0.2"), C1).unwrap());
    assert!(store.reserve(address("10.0.0.3"), C1).unwrap());
    store.release_attachment(C1).unwrap();
    assert_eq!(names(&directory), ["10.0.0.2", "lock"]);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, u8),
    Release(u8),
    ReleaseAttachment(u8),
    Tear(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..8, 0u8..4).prop_map(|(address, owner)| Step::Reserve(address, owner)),
        1 => (0u8..8).prop_map(Step::Release),
        2 => (0u8..4).prop_map(Step::ReleaseAttachment),
        1 => (0u8..8).prop_map(Step::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_directory_is_a_map_of_addresses_to_attachments(steps in prop::collection::vec(step(), 1..40)) {
        let (_parent, directory) = fresh();
        let mut store = open(&directory).unwrap();
        let mut model: BTreeMap<IpAddr, u8> = BTreeMap::new();
        let ids = ["a", "ab", "a.b", "b"];
        let owner = |owner: u8| Owner { container_id: ids[usize::from(owner)], interface: "eth0" };
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        for step in steps {
            match step {
                Step::Reserve(last, who) => {
                    let free = !model.contains_key(&address(last));
                    prop_assert_eq!(store.reserve(address(last), owner(who)).unwrap(), free);
                    model.entry(address(last)).or_insert(who);
                }
                Step::Release(last) => {
                    store.release(address(last)).unwrap();
                    model.remove(&address(last));
                }
                Step::ReleaseAttachment(who) => {
                    store.release_attachment(owner(who)).unwrap();
                    model.retain(|_, owner| *owner != who);
                }
                Step::Tear(last) => {
                    fs::write(directory.join(address(last).to_string()), "").unwrap();
                    model.remove(&address(last));
                    store = { drop(store); open(&directory).unwrap() };
                }
            }
            for who in 0..4 {
                let mut addresses = store.addresses_of(owner(who)).unwrap();
                addresses.sort();
                let expected: Vec<_> = model.iter().filter(|(_, owner)| **owner == who).map(|(address, _)| *address).collect();
                prop_assert_eq!(addresses, expected);
            }
        }
    }
}
