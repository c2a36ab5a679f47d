//! `attachment`: what every plugin does that gives a pod an interface.
