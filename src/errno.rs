//! The words for an errno, and calls that a signal interrupted.

use nix::errno::Errno;

/// The C library's words for an errno, as other programs show them too.
pub(crate) fn text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.find(" (os error ") {
        Some(end) => text.chars().take(end).collect(),
        None => text,
    }
}

/// Makes a system call again for as long as a signal comes in between.
pub(crate) fn again<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_reads_as_strerror_says_it() {
        assert_eq!(text(Errno::EBADF), "Bad file descriptor");
        assert_eq!(text(Errno::ENOTTY), "Inappropriate ioctl for device");
    }
}
