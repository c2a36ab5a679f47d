//! The load of a run.

use tests::{Flow, Flowing};

use crate::attached::{Attached, End};
use crate::case::{Case, Direction, Load};

/// Starts the case's load for so many seconds.
///
/// # Panics
/// When iperf3 cannot be started.
pub fn start(attached: &Attached, case: &Case, seconds: u32) -> Flowing {
    let (sender, receiver) = match case.direction {
        Direction::In => (End::Peer, End::Pod),
        Direction::Out => (End::Pod, End::Peer),
    };
    let options = match case.load {
        Load::Tcp { control, flows } => format!("-C {control} -P {flows}"),
        Load::Udp => format!("-u -l 1472 -b {}", case.rate.0 * 2),
    };
    Flow {
        sender: attached.netns(sender).as_deref(),
        address: attached.address(sender),
        receiver: attached.netns(receiver).as_deref(),
        seconds,
        options: &options,
    }
    .start()
}
