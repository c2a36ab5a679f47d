//! `ptp`: a veth pair between the host and a pod, with routes and without a bridge.
