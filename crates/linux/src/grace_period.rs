//! Waiting for an RCU grace period.

use nix::errno::Errno;
use nix::libc;

use crate::error::{Error, Result};

/// Waits for an RCU grace period, some ten milliseconds. The kernel classifies, redirects and queues each packet
/// within one read-side section, so afterwards no CPU still uses rules or devices that were removed before.
///
/// Returns at once on a kernel with `nohz_full` CPUs, which offers no such wait. As `membarrier(2)` with
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
