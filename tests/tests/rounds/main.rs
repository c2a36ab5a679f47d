//! A thousand rounds of ADD and DEL with faults at random, up to six containers at once: afterwards the node
//! shows exactly what it showed before.
//!
//! `WEIR_ROUNDS` says how many, `WEIR_SEED` which ones: each run prints its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod chain;
mod fault;

use tests::{Look, Node, Random, Snapshot};

use chain::Chain;
use fault::{Fault, pool_for_one};

const AT_ONCE: u32 = 6;
/// After so many rounds, or a few more, the node is looked at.
const BETWEEN_LOOKS: usize = 25;

fn rounds() -> u32 {
    std::env::var("WEIR_ROUNDS").map_or(1000, |text| text.parse().unwrap())
}

#[test]
fn a_thousand_rounds_with_faults_leave_the_node_as_it_was() {
    let mut random = Random::seeded_by("WEIR_SEED");
    let node = Node::new();
    // One that is attached all the time, and has the only address of its second pool.
    let mut resident = Chain::full(&node, "resident");
    resident.main["ipam"]["ranges"].as_array_mut().unwrap().push(pool_for_one());
    resident.add().unwrap();
    // The first calls of a node take longer.
    Chain::durations(&node);
    let durations = Chain::durations(&node);

    tests::eventually("the kernel has probed all addresses", || {
        node.look("ip -6 addr show tentative").is_empty()
    });
    let before = Snapshot::of_node();
    let (mut done, mut killed, mut since_look) = (0, 0, Vec::new());
    while done < rounds() {
        let count = if random.one_in(2) { 1 } else { random.between(2, AT_ONCE) };
        killed += std::thread::scope(|scope| {
            let mut start = |number| {
                let fault = Fault::any(&mut random, count == 1);
                since_look.push((number, fault));
                let mut random = Random::new(random.number());
                let chain = Chain::any(&node, &format!("c{number}"), &mut random);
                let durations = durations.shared(random.between(1, count));
                let round = std::thread::Builder::new().name(format!("round {number}, {fault:?}"));
                round.spawn_scoped(scope, move || fault.happen(chain, &durations, random)).unwrap()
            };
            let containers: Vec<_> = (done..done + count).map(&mut start).collect();
            containers.into_iter().map(|container| u32::from(container.join().unwrap())).sum::<u32>()
        });
        done += count;
        if since_look.len() >= BETWEEN_LOOKS || done >= rounds() {
            let differences = Snapshot::of_node().differences(&before);
            assert!(differences.is_empty(), "after {since_look:?}\n{differences:#?}");
            since_look.clear();
        }
    }
    resident.check();
    assert!(resident.pod.reaches("10.244.0.1", 56) && resident.pod.reaches("fd00:244::1", 56));
    eprintln!("{done} rounds, {killed} plugins killed at work");
    assert!(killed > 0);
}
