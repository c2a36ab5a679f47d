//! The index against the directory that it describes, changed by weir and by others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::store::{Options, Owner, Store};

struct Directory {
    parent: tempfile::TempDir,
}

impl Directory {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.parent.path()
    }

    fn index(&self) -> PathBuf {
        self.path().join(NAME)
    }

    fn store(&self) -> Store {
        Store::create(self.path(), Options::default()).unwrap()
    }

    fn is_right(&self) -> bool {
        Index::open(self.path()).is_some_and(|(_, is_right)| is_right)
    }

    fn reserve(&self, last: u8, id: &str) {
        assert!(self.store().reserve(address(last), owner(id)).unwrap());
    }

    fn addresses_of(&self, id: &str) -> Vec<IpAddr> {
        let mut addresses = self.store().addresses_of(owner(id)).unwrap();
        addresses.sort();
        addresses
    }

    /// As the reference reserves and releases.
    fn write(&self, last: u8, id: &str) {
        fs::write(self.path().join(address(last).to_string()), format!("{id}\r\neth0")).unwrap();
    }

    fn remove(&self, last: u8) {
        fs::remove_file(self.path().join(address(last).to_string())).unwrap();
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn owner(id: &str) -> Owner<'_> {
    Owner { container_id: id, interface: "eth0" }
}

#[test]
fn the_index_is_right_after_each_change_by_weir_and_wrong_after_each_by_others() {
    let directory = Directory::new();
    for last in 2..50 {
        directory.reserve(last, &format!("c{last}"));
        assert!(directory.is_right());
        directory.write(last + 50, "other");
        assert!(!directory.is_right());
        assert_eq!(directory.addresses_of(&format!("c{last}")), [address(last)]);
        assert!(directory.is_right());
        directory.remove(last + 50);
        assert!(!directory.is_right());
        assert!(directory.addresses_of("other").is_empty());
        assert!(directory.is_right());
    }
}

#[test]
fn changes_by_the_reference_are_found_however_short_the_time() {
    let directory = Directory::new();
    for round in 0..200 {
        let (ours, theirs) = (format!("ours{round}"), format!("theirs{round}"));
        directory.reserve(2, &ours);
        // The same address, by another process, within a tick of the clock.
        directory.remove(2);
        directory.write(2, &theirs);
        assert!(directory.addresses_of(&ours).is_empty());
        assert_eq!(directory.addresses_of(&theirs), [address(2)]);
        directory.store().release_attachment(owner(&theirs)).unwrap();
        assert!(!directory.path().join("10.0.0.2").exists());
    }
}

#[test]
fn a_text_that_was_changed_in_place_is_not_trusted() {
    let directory = Directory::new();
    directory.reserve(2, "c1");
    directory.write(2, "c2");
    directory.store().release_attachment(owner("c1")).unwrap();
    assert_eq!(directory.addresses_of("c2"), [address(2)]);
}

#[test]
fn a_damaged_index_is_noticed_wherever_the_damage_is() {
    let directory = Directory::new();
    for last in 2..=5 {
        directory.reserve(last, &format!("c{last}"));
    }
    let intact = fs::read(directory.index()).unwrap();
    let expect_right = |what: &str| {
        for last in 2..=5 {
            assert_eq!(directory.addresses_of(&format!("c{last}")), [address(last)], "{what}");
        }
        let mut store = directory.store();
        assert_eq!(store.first_free(address(2), address(9)).unwrap(), Some(address(6)), "{what}");
    };
    // In place, so that the directory's times stay.
    for offset in [0, 16, 60, 100, HEADER, HEADER + 7, HEADER + BLOCK - 1, FIRST_PAGE, FIRST_PAGE + PAGE - 1]
    {
        let mut damaged = intact.clone();
        damaged[offset] ^= 0x40;
        fs::write(directory.index(), &damaged).unwrap();
        expect_right(&format!("a bit at {offset}"));
    }
    for length in [0, 1, HEADER, FIRST_PAGE, FIRST_PAGE + 1, intact.len() + PAGE] {
        let mut damaged = intact.clone();
        damaged.resize(length, 0);
        fs::write(directory.index(), &damaged).unwrap();
        expect_right(&format!("{length} bytes"));
    }
    let mut zeroed = intact.clone();
    zeroed[HEADER..].fill(0);
    fs::write(directory.index(), &zeroed).unwrap();
    expect_right("zeros after the header");
    fs::remove_file(directory.index()).unwrap();
    expect_right("missing");
    fs::remove_file(directory.index()).unwrap();
    fs::create_dir(directory.index()).unwrap();
    expect_right("a directory");
}

#[test]
fn an_index_of_another_boot_or_another_directory_is_not_trusted() {
    let directory = Directory::new();
    directory.reserve(2, "c1");
    let (mut index, is_right) = Index::open(directory.path()).unwrap();
    assert!(is_right);
    let other = Directory::new();
    fs::copy(directory.index(), other.index()).unwrap();
    assert!(!other.is_right());
    index.header.boot[0] ^= 1;
    index.commit(directory.path()).unwrap();
    assert!(Index::open(directory.path()).is_none());
    assert_eq!(directory.addresses_of("c1"), [address(2)]);
}

#[test]
fn a_killed_call_leaves_an_index_that_is_not_trusted() {
    let directory = Directory::new();
    directory.reserve(2, "c1");
    let mut store = directory.store();
    assert!(store.reserve(address(3), owner("c2")).unwrap());
    store.release_attachment(owner("c1")).unwrap();
    // The lock goes as it does when a process ends; nothing else happens.
    store.forget_as_if_killed();
    assert!(!directory.is_right());
    assert!(directory.addresses_of("c1").is_empty());
    assert_eq!(directory.addresses_of("c2"), [address(3)]);
}

#[test]
fn everything_works_without_a_place_for_the_index() {
    let directory = Directory::new();
    fs::create_dir(directory.index()).unwrap();
    directory.reserve(2, "c1");
    directory.write(3, "c1");
    assert_eq!(directory.addresses_of("c1"), [address(2), address(3)]);
    directory.store().release_attachment(owner("c1")).unwrap();
    assert!(directory.addresses_of("c1").is_empty());
}

#[test]
fn thousands_of_attachments_make_it_grow_and_all_are_found() {
    let directory = Directory::new();
    let mut store = directory.store();
    let address = |number: u16| IpAddr::from([10, 1, number.to_be_bytes()[0], number.to_be_bytes()[1]]);
    let name = |number: u16| format!("{number:064x}");
    for number in 0..3000 {
        assert!(store.reserve(address(number), owner(&name(number))).unwrap());
    }
    drop(store);
    assert!(directory.is_right());
    let mut store = directory.store();
    for number in 0..3000 {
        assert_eq!(store.addresses_of(owner(&name(number))).unwrap(), [address(number)]);
    }
    assert_eq!(store.first_free(address(0), address(4000)).unwrap(), Some(address(3000)));
}

#[test]
fn a_container_with_more_addresses_than_a_page_has_room_for_is_found_all_the_same() {
    let directory = Directory::new();
    for last in 0..200 {
        fs::write(directory.path().join(address(last).to_string()), "old").unwrap();
    }
    directory.reserve(201, "c1");
    assert_eq!(directory.addresses_of("old").len(), 200);
    assert_eq!(directory.addresses_of("c1"), [address(201)]);
    directory.store().release_attachment(owner("old")).unwrap();
    assert!(directory.addresses_of("old").is_empty());
}

#[test]
fn addresses_in_another_notation_are_found_and_released() {
    let directory = Directory::new();
    fs::write(directory.path().join("fd00:0::2"), "c1\r\neth0").unwrap();
    fs::write(directory.path().join("::ffff:10.0.0.9"), "c1\r\neth0").unwrap();
    assert_eq!(directory.addresses_of("c1").len(), 2);
    assert!(directory.is_right());
    directory.store().release_attachment(owner("c1")).unwrap();
    assert!(directory.addresses_of("c1").is_empty());
}

#[test]
fn more_blocks_than_there_is_room_for_cost_time_and_nothing_else() {
    let directory = Directory::new();
    let far = |number: u8| IpAddr::from([10, number, 0, 1]);
    for number in 0..40 {
        assert!(directory.store().reserve(far(number), owner("c1")).unwrap());
    }
    assert!(directory.is_right());
    for number in 0..40 {
        let next = directory.store().first_free(far(number), IpAddr::from([10, number, 0, 9])).unwrap();
        assert_eq!(next, Some(IpAddr::from([10, number, 0, 2])));
    }
    assert_eq!(directory.addresses_of("c1").len(), 40);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, u8),
    ReleaseAttachment(u8),
    /// Through the store, which ends as if killed.
    ReserveAndDie(u8, u8),
    /// As the reference does, or a person.
    Write(u8, u8),
    Remove(u8),
    Empty(u8),
    Damage(usize),
    FirstFree(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..16, 0u8..5).prop_map(|(address, owner)| Step::Reserve(address, owner)),
        2 => (0u8..5).prop_map(Step::ReleaseAttachment),
        1 => (0u8..16, 0u8..5).prop_map(|(address, owner)| Step::ReserveAndDie(address, owner)),
        2 => (0u8..16, 0u8..5).prop_map(|(address, owner)| Step::Write(address, owner)),
        2 => (0u8..16).prop_map(Step::Remove),
        1 => (0u8..16).prop_map(Step::Empty),
        1 => (0usize..FIRST_PAGE + PAGE).prop_map(Step::Damage),
        3 => (0u8..16).prop_map(Step::FirstFree),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_store_is_a_map_whatever_else_changes_the_directory(steps in prop::collection::vec(step(), 1..50)) {
        let directory = Directory::new();
        let mut model: BTreeMap<u8, u8> = BTreeMap::new();
        let ids = ["a", "ab", "a.b", "b", "c"];
        for step in steps {
            match step {
                Step::Reserve(last, who) | Step::ReserveAndDie(last, who) => {
                    let mut store = directory.store();
                    let reserved = store.reserve(address(last), owner(ids[usize::from(who)])).unwrap();
                    prop_assert_eq!(reserved, !model.contains_key(&last));
                    model.entry(last).or_insert(who);
                    if matches!(step, Step::ReserveAndDie(..)) {
                        store.forget_as_if_killed();
                    }
                }
                Step::ReleaseAttachment(who) => {
                    directory.store().release_attachment(owner(ids[usize::from(who)])).unwrap();
                    model.retain(|_, holder| *holder != who);
                }
                Step::Write(last, who) => {
                    // A new file, as another program with the same format creates it.
                    let _ = fs::remove_file(directory.path().join(address(last).to_string()));
                    directory.write(last, ids[usize::from(who)]);
                    model.insert(last, who);
                }
                Step::Remove(last) => {
                    let _ = fs::remove_file(directory.path().join(address(last).to_string()));
                    model.remove(&last);
                }
                Step::Empty(last) => {
                    let path = directory.path().join(address(last).to_string());
                    let _ = fs::remove_file(&path);
                    fs::write(path, "").unwrap();
                    model.remove(&last);
                }
                Step::Damage(offset) => {
                    if let Ok(mut bytes) = fs::read(directory.index()) {
                        let offset = offset.min(bytes.len() - 1);
                        bytes[offset] ^= 0x11;
                        fs::write(directory.index(), bytes).unwrap();
                    }
                }
                Step::FirstFree(from) => {
                    let expected = (from..16).find(|last| !model.contains_key(last)).map(address);
                    let found = directory.store().first_free(address(from), address(15)).unwrap();
                    prop_assert_eq!(found, expected);
                }
            }
            for (who, id) in (0..).zip(ids) {
                let expected: BTreeSet<_> =
                    model.iter().filter(|(_, holder)| **holder == who).map(|(last, _)| address(*last)).collect();
                prop_assert_eq!(directory.addresses_of(id).into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
    }
}
