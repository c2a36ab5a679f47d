//! The allocator against a plain model: ranges, sets, gateways, excluded addresses, requests, round robin,
//! the reference in between.

use std::collections::BTreeMap;

use super::*;

/// Addresses are numbers from 0 to 63, `10.0.<set>.<number>`.
#[derive(Debug, Clone)]
struct Range {
    start: u8,
    end: u8,
    gateway: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        who: u8,
        requested: [Option<u8>; 2],
    },
    Del {
        who: u8,
    },
    /// As the reference does it: the first free address of the first set after the last.
    AddByAnother {
        who: u8,
    },
    DelByAnother {
        who: u8,
    },
}

/// The last allocated address of each set, and the reservations.
#[derive(Default)]
struct Model {
    last: [Option<u8>; 2],
    held: [BTreeMap<u8, u8>; 2],
}

fn ip(set: usize, number: u8) -> String {
    format!("10.0.{set}.{number}")
}

/// Ranges that do not overlap: each is inside a part of its own.
fn ranges() -> impl Strategy<Value = Vec<Range>> {
    prop::collection::vec((0u8..6, 0u8..10, 0u8..64), 1..4).prop_map(|parts| {
        let range = |(part, (start, length, gateway)): (u8, (u8, u8, u8))| Range {
            start: part * 16 + start,
            end: part * 16 + start + length,
            gateway,
        };
        (0u8..).zip(parts).map(range).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let requested = || prop::option::weighted(0.2, 0u8..64);
    prop_oneof![
        5 => (0u8..12, requested(), requested()).prop_map(|(who, first, second)| Step::Add { who, requested: [first, second] }),
        3 => (0u8..12).prop_map(|who| Step::Del { who }),
        1 => (0u8..12).prop_map(|who| Step::AddByAnother { who }),
        1 => (0u8..12).prop_map(|who| Step::DelByAnother { who }),
    ]
}

impl Model {
    /// The addresses of a set in the order in which they are tried.
    fn order(&self, set: usize, ranges: &[Range]) -> Vec<u8> {
        let all: Vec<u8> = ranges.iter().flat_map(|range| range.start..=range.end).collect();
        let place = self.last[set].and_then(|last| all.iter().position(|number| *number == last));
        let (before, after) = all.split_at(place.map_or(0, |place| place + 1));
        [after, before].concat()
    }

    fn pick(
        &self,
        set: usize,
        ranges: &[Range],
        requested: Option<u8>,
        exclusions: &HashSet<(usize, u8)>,
    ) -> Option<u8> {
        let mut order = self.order(set, ranges);
        order.retain(|number| requested.is_none_or(|requested| requested == *number));
        order
            .into_iter()
            .find(|number| !self.held[set].contains_key(number) && !exclusions.contains(&(set, *number)))
    }

    /// Whether the container has another address of the first set than the requested one: then ADD is
    /// refused. (Who has one of the second set has one of the first.)
    fn has_other(&self, who: u8, requested: Option<u8>) -> bool {
        self.held[0].iter().any(|(number, holder)| *holder == who && Some(*number) != requested)
    }

    fn has(&self, who: u8) -> bool {
        self.held.iter().any(|held| held.values().any(|holder| *holder == who))
    }

    fn forget(&mut self, who: u8) {
        self.held.iter_mut().for_each(|held| held.retain(|_, holder| *holder != who));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_add_and_del_does_what_a_plain_model_says(
        sets in [ranges(), ranges()], excluded in prop::collection::vec(0u8..64, 0..6),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let node = Node::new();
        let json_of = |set: usize| -> Vec<Value> {
            let range = |range: &Range| json!({
                "subnet": format!("10.0.{set}.0/24"), "rangeStart": ip(set, range.start),
                "rangeEnd": ip(set, range.end), "gateway": ip(set, range.gateway),
            });
            sets[set].iter().map(range).collect()
        };
        let exclude: Vec<_> = excluded.iter().map(|number| ip(0, *number)).collect();
        let base = node.config(json!({"ranges": [json_of(0), json_of(1)], "exclude": exclude}));
        let mut exclusions: HashSet<(usize, u8)> = excluded.iter().map(|number| (0, *number)).collect();
        for (set, ranges) in sets.iter().enumerate() {
            exclusions.extend(ranges.iter().map(|range| (set, range.gateway)));
        }
        let mut model = Model::default();
        fs::create_dir_all(node.directory()).unwrap();
        for step in steps {
            match step {
                Step::Add { who, requested } => {
                    let mut config = base.clone();
                    let asked: Vec<_> = (0..2).filter_map(|set| Some(ip(set, requested[set]?))).collect();
                    config["args"] = json!({"cni": {"ips": asked}});
                    let outcome = node.call("ADD", &format!("c{who}"), &config);
                    let given = outcome.ok().flatten().map(|result| addresses(&result));
                    let outside = (0..2).any(|set| requested[set].is_some_and(|number| {
                        !model.order(set, &sets[set]).contains(&number)
                    }));
                    let picked: Vec<_> =
                        (0..2).map(|set| model.pick(set, &sets[set], requested[set], &exclusions)).collect();
                    let refused = outside || model.has_other(who, requested[0]);
                    if !refused && let Some(first) = picked[0] {
                        // It is released when the other set has none; the round continues after it.
                        model.last[0] = Some(first);
                    }
                    let expected = match picked[..] {
                        [Some(first), Some(second)] if !refused => {
                            model.last[1] = Some(second);
                            model.held[0].insert(first, who);
                            model.held[1].insert(second, who);
                            Some(vec![format!("{}/24", ip(0, first)), format!("{}/24", ip(1, second))])
                        }
                        _ => None,
                    };
                    prop_assert_eq!(given, expected);
                }
                Step::Del { who } => {
                    node.call("DEL", &format!("c{who}"), &base).unwrap();
                    model.forget(who);
                }
                Step::AddByAnother { who } => {
                    if let Some(number) = model.pick(0, &sets[0], None, &exclusions).filter(|_| !model.has(who)) {
                        fs::write(node.directory().join(ip(0, number)), format!("c{who}\r\neth0")).unwrap();
                        fs::write(node.directory().join("last_reserved_ip.0"), ip(0, number)).unwrap();
                        model.last[0] = Some(number);
                        model.held[0].insert(number, who);
                    }
                }
                Step::DelByAnother { who } => {
                    for set in 0..2 {
                        for (number, _) in model.held[set].iter().filter(|(_, holder)| **holder == who) {
                            fs::remove_file(node.directory().join(ip(set, *number))).unwrap();
                        }
                    }
                    model.forget(who);
                }
            }
            let mut expected: Vec<_> =
                (0..2).flat_map(|set| model.held[set].keys().map(move |number| ip(set, *number))).collect();
            expected.sort();
            prop_assert_eq!(node.held(), expected);
        }
    }
}
