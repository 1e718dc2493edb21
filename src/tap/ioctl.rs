//! The TUN driver's ioctls (`linux/if_tun.h`); the only file with unsafe code.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

/// `_IOW('T', 202, int)`: make or join an interface.
pub const TUNSETIFF: u32 = 0x4004_54ca;
/// `_IOR('T', 210, unsigned int)`: what an open interface is.
pub const TUNGETIFF: u32 = 0x8004_54d2;
/// `_IOR('T', 207, unsigned int)`: the flags that this kernel knows.
pub const TUNGETFEATURES: u32 = 0x8004_54cf;

/// An Ethernet device, not IP packets.
pub const IFF_TAP: u32 = 0x0002;
/// A further open joins the interface as one more queue.
pub const IFF_MULTI_QUEUE: u32 = 0x0100;
/// No four bytes of packet information before each frame.
pub const IFF_NO_PI: u32 = 0x1000;
/// A single queue.
pub const IFF_ONE_QUEUE: u32 = 0x2000;
/// A virtio-net header before each frame.
pub const IFF_VNET_HDR: u32 = 0x4000;

/// The longest interface name in bytes; the kernel's field holds a NUL besides.
pub(super) const MAX_NAME: usize = libc::IFNAMSIZ - 1;

/// The IFF flags that the driver behind `fd` knows (TUNGETFEATURES).
///
/// # Errors
/// The errno: of a file that is no TUN device, ENOTTY.
pub(super) fn features(fd: RawFd) -> Result<u32, Errno> {
    let mut flags: libc::c_uint = 0;
    // SAFETY: the request's size field says that the kernel writes one unsigned int, and `flags`
    // is one that outlives the call. A wrong descriptor only gives an errno.
    let result = unsafe { libc::ioctl(fd, libc::Ioctl::from(TUNGETFEATURES), &raw mut flags) };
    Errno::result(result).map(|_| flags)
}

/// Makes (or joins) the interface `name` on an open `/dev/net/tun`; gives the name it has now.
///
/// An empty name, or one with `%d` in it, leaves the choice to the kernel.
///
/// # Errors
/// The errno; `ENAMETOOLONG` if the name is longer than [`MAX_NAME`] bytes.
pub(super) fn set_interface(
    tun: BorrowedFd<'_>,
    name: &[u8],
    flags: u32,
) -> Result<Vec<u8>, Errno> {
    let mut ifr_name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    if name.len() > MAX_NAME {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let flags = u16::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let flags = libc::c_short::from_ne_bytes(flags.to_ne_bytes());
    let mut request = libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // SAFETY: TUNSETIFF reads and writes one struct ifreq, which `request` is, for the length of
    // the call; the descriptor is open as long as the borrow lasts.
    let result = unsafe {
        libc::ioctl(
            tun.as_raw_fd(),
            libc::Ioctl::from(TUNSETIFF),
            &raw mut request,
        )
    };
    Errno::result(result)?;
    Ok(request
        .ifr_name
        .iter()
        .take_while(|byte| **byte != 0)
        .flat_map(|byte| byte.to_ne_bytes())
        .collect())
}
