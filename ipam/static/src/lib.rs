//! `static`: addresses that the config names.
