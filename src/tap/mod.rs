//! TAP interfaces for guests: one descriptor a queue, and vhost-net's beside them.
//!
//! All or nothing: descriptors are owned until everything has succeeded, and an interface goes
//! with its last descriptor, because it is never made persistent.

mod error;
mod ioctl;

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_file};
use nix::sys::stat::Mode;

pub use error::TapError;
pub use ioctl::{
    IFF_MULTI_QUEUE, IFF_NO_PI, IFF_ONE_QUEUE, IFF_TAP, IFF_VNET_HDR, TUNGETFEATURES, TUNGETIFF,
    TUNSETIFF,
};

/// The kernel's limit of queues of one interface (`MAX_TAP_QUEUES`).
pub const MAX_QUEUES: u32 = 256;

const TUN: &str = "/dev/net/tun";

/// What to open.
#[derive(Debug, Clone)]
pub struct Request {
    /// The interface's name; empty: the kernel chooses; one `%d` in it: the kernel counts.
    pub name: String,
    /// Whether frames carry a virtio-net header, where the kernel can do it.
    pub vnet_hdr: bool,
    /// The number of queues, 1 to [`MAX_QUEUES`].
    pub queues: u32,
    /// The vhost-net device to open once a queue, or none.
    pub vhost: Option<PathBuf>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            name: String::new(),
            vnet_hdr: true,
            queues: 1,
            vhost: None,
        }
    }
}

/// An open interface; it goes with the last of its descriptors.
#[derive(Debug)]
pub struct Tap {
    /// The name that the kernel gave it.
    pub name: String,
    /// Whether frames carry a virtio-net header.
    pub vnet_hdr: bool,
    /// One descriptor a queue, close-on-exec.
    pub tap_fds: Vec<OwnedFd>,
    /// One vhost-net descriptor a queue, if asked for, close-on-exec.
    pub vhost_fds: Vec<OwnedFd>,
}

/// The IFF flags that the TUN driver behind `fd` knows.
///
/// # Errors
/// The errno of TUNGETFEATURES.
pub fn features(fd: RawFd) -> Result<u32, Errno> {
    ioctl::features(fd)
}

/// Opens a TAP interface.
///
/// # Errors
/// [`TapError`]; whatever the step, no descriptor and no interface of this call is left.
pub fn open(request: &Request) -> Result<Tap, TapError> {
    check_name(&request.name)?;
    check_queues(request.queues)?;
    let mut tap = Tap {
        name: request.name.clone(),
        vnet_hdr: request.vnet_hdr,
        tap_fds: Vec::new(),
        vhost_fds: Vec::new(),
    };
    let mut flags = None;
    for queue in 0..request.queues {
        let tun = open_device(Path::new(TUN))?;
        let flags = match flags {
            Some(flags) => flags,
            None => *flags.insert(choose_flags(&mut tap, request, &tun)?),
        };
        // From the second queue on the name is the one that the first got: a pattern such as
        // "gnt%d" would otherwise make one more interface a queue.
        tap.name = join(&tap.name, &tun, flags, queue, request.queues)?;
        tap.tap_fds.push(tun);
        if let Some(vhost) = &request.vhost {
            tap.vhost_fds.push(open_device(vhost)?);
        }
    }
    Ok(tap)
}

fn join(
    name: &str,
    tun: &OwnedFd,
    flags: u32,
    queue: u32,
    queues: u32,
) -> Result<String, TapError> {
    let step = || match (name, queues) {
        ("", 1) => "make a TAP interface".to_owned(),
        (_, 1) => format!("make the TAP interface {name:?}"),
        ("", _) => format!("make queue {} of {queues} of a TAP interface", queue + 1),
        _ => format!(
            "make queue {} of {queues} of the TAP interface {name:?}",
            queue + 1
        ),
    };
    let given = ioctl::set_interface(tun.as_fd(), name.as_bytes(), flags).map_err(|errno| {
        TapError::Failed {
            step: step(),
            errno,
        }
    })?;
    String::from_utf8(given).map_err(|_| TapError::BadName {
        name: name.to_owned(),
        why: "the kernel made a name of it that is not text",
    })
}

fn choose_flags(tap: &mut Tap, request: &Request, tun: &OwnedFd) -> Result<u32, TapError> {
    let known = ioctl::features(tun.as_raw_fd()).unwrap_or(0);
    let mut flags = IFF_TAP | IFF_NO_PI;
    tap.vnet_hdr = request.vnet_hdr && known & IFF_VNET_HDR != 0;
    if tap.vnet_hdr {
        flags |= IFF_VNET_HDR;
    }
    if request.queues == 1 {
        return Ok(flags | IFF_ONE_QUEUE);
    }
    if known & IFF_MULTI_QUEUE == 0 {
        return Err(TapError::BadQueues {
            queues: request.queues,
            why: "this kernel's TUN driver has no IFF_MULTI_QUEUE",
        });
    }
    Ok(flags | IFF_MULTI_QUEUE)
}

fn open_device(path: &Path) -> Result<OwnedFd, TapError> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    loop {
        match open_file(path, flags, Mode::empty()) {
            Ok(device) => return Ok(device),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(TapError::Failed {
                    step: format!("open {}", path.display()),
                    errno,
                });
            }
        }
    }
}

fn check_queues(queues: u32) -> Result<(), TapError> {
    let why = match queues {
        0 => "there must be at least one",
        1..=MAX_QUEUES => return Ok(()),
        _ => "the kernel's limit is 256",
    };
    Err(TapError::BadQueues { queues, why })
}

/// Says whether `name` can be an interface's name, or a pattern for one.
///
/// The kernel itself cuts what is too long and answers the rest with EINVAL, so it is told here.
///
/// # Errors
/// [`TapError::BadName`].
pub fn check_name(name: &str) -> Result<(), TapError> {
    let without_counter = name.replacen("%d", "", 1);
    let why = if name.len() > ioctl::MAX_NAME {
        "it is longer than 15 bytes"
    } else if name == "." || name == ".." {
        "it is a folder's"
    } else if name.contains('\0') {
        "it has a NUL in it"
    } else if name.contains(char::is_whitespace) {
        "it has white space in it"
    } else if !name.is_ascii() || name.contains(|c: char| c.is_ascii_control()) {
        "it has more than printable ASCII in it"
    } else if name.contains(['/', ':']) {
        "it has '/' or ':' in it"
    } else if without_counter.contains('%') {
        "it has a '%' in it other than one \"%d\""
    } else {
        return Ok(());
    };
    Err(TapError::BadName {
        name: name.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_cut_or_refuse_are_refused_here() {
        let bad = [
            "tap0123456789abc",
            "a/b",
            "a b",
            "a\tb",
            "a\nb",
            "a\0b",
            ".",
            "..",
            "a:b",
            "täp",
            "a\x7f",
            "a%",
            "a%s",
            "a%d%d",
            "%%d",
        ];
        for name in bad {
            let error = check_name(name).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{name:?}")),
                "{error} does not name {name:?}"
            );
            assert_eq!(error.errno(), None);
        }
        for name in [
            "",
            "tap0",
            "gnt.com.%d",
            "t%dx",
            "tap0123456789ab",
            "a.b-c_d@1",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn the_number_of_queues_has_limits() {
        assert!(check_queues(0).is_err());
        assert!(check_queues(257).is_err());
        assert_eq!(check_queues(256), Ok(()));
    }

    #[test]
    fn constants_are_the_headers() {
        assert_eq!(u64::from(TUNSETIFF), 1_074_025_674);
        assert_eq!(u64::from(TUNGETIFF), 2_147_767_506);
        assert_eq!(u64::from(TUNGETFEATURES), 2_147_767_503);
    }
}
