//! Why a TAP could not be opened.

use std::fmt;

use nix::errno::Errno;

/// Why a TAP could not be opened; nothing of the attempt is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapError {
    /// The name can not be an interface's; the kernel was not asked.
    BadName {
        /// The name that was asked for.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// So many queues are not possible here.
    BadQueues {
        /// The number that was asked for.
        queues: u32,
        /// What stands against it.
        why: &'static str,
    },
    /// A system call failed.
    Failed {
        /// The step, as words that follow "cannot".
        step: String,
        /// The system call's errno.
        errno: Errno,
    },
}

impl TapError {
    /// The errno of the system call that failed, if one was made.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Failed { errno, .. } => Some(*errno as i32),
            Self::BadName { .. } | Self::BadQueues { .. } => None,
        }
    }
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName { name, why } => {
                write!(f, "{name:?} cannot be a TAP interface's name: {why}")
            }
            Self::BadQueues { queues, why } => {
                write!(f, "cannot open a TAP interface with {queues} queues: {why}")
            }
            Self::Failed { step, errno } => {
                write!(
                    f,
                    "cannot {step}: {} ({errno:?})",
                    crate::errno::text(*errno)
                )
            }
        }
    }
}

impl std::error::Error for TapError {}
