//! Waiting until every packet that was under way has arrived.

use nix::errno::Errno;
use nix::libc;

use crate::error::{Error, Result};

/// Waits for an RCU grace period, some ten milliseconds: what the kernel did with rules or devices that are gone
/// by now has ended on every CPU afterwards. Packets are classified, redirected and queued within such a section.
///
/// With `nohz_full` CPUs the kernel offers no such wait; then this returns at once. As `membarrier(2)` with
/// `MEMBARRIER_CMD_GLOBAL`.
///
/// # Errors
/// When the system call is refused.
pub fn wait_for_grace_period() -> Result<()> {
    // SAFETY: the call takes three integers and touches no memory of the caller's.
    #[allow(unsafe_code)]
    let outcome = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    match Errno::result(outcome) {
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(Error::Other(format!(
            "cannot wait until packets that are under way have arrived (membarrier): {}",
            std::io::Error::from(errno)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_lets_itself_be_waited_for() {
        wait_for_grace_period().unwrap();
    }
}
