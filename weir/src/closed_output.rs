//! A standard output that was closed before this process started.
//!
//! Rust opens `/dev/null` in its place before `main`: every answer would seem to arrive, and an ADD would leave its
//! attachment behind though no runtime reads the result. Before that, a pipe without a reader takes the place, and
//! writing fails with `EPIPE`.

use nix::libc;

extern "C" fn replace_closed_output() {
    // SAFETY: the calls take descriptors and an array of two that lives until they return, and run before any other
    // thread and before Rust's runtime, of which they use nothing.
    #[allow(unsafe_code)]
    unsafe {
        let mut pipe = [0; 2];
        if libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) != -1 || libc::pipe(pipe.as_mut_ptr()) == -1 {
            return;
        }
        let [reader, writer] = pipe;
        // pipe(2) returns the lowest free descriptors: either end may be standard output already.
        if writer != libc::STDOUT_FILENO {
            libc::dup2(writer, libc::STDOUT_FILENO);
            libc::close(writer);
        }
        if reader != libc::STDOUT_FILENO {
            libc::close(reader);
        }
    }
}

/// Functions in this section run before Rust's runtime starts (System V ABI, "Initialization and Termination
/// Functions").
// SAFETY: the section holds pointers to functions of this type.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_RUNTIME: extern "C" fn() = replace_closed_output;
