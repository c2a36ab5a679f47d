//! A standard output that was closed before this process started.
//!
//! Rust opens `/dev/null` in its place before `main`, so that every answer would seem to arrive, and an ADD whose
//! result no runtime reads would leave its attachment behind. Before that, a pipe without a reader takes the place:
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
        // The lowest free descriptors are given first: either end may have the number itself.
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
