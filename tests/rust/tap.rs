//! Real TAP interfaces, in a network of their own. Needs root and /dev/net/tun.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use ganeti_hv_kvm::tap::{self, IFF_MULTI_QUEUE, IFF_VNET_HDR, Request, TapError};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};

/// What belongs to this thread's network; a thread may leave its process's.
fn interfaces() -> BTreeSet<String> {
    fs::read_to_string("/proc/thread-self/net/dev")
        .unwrap()
        .lines()
        .skip(2)
        .map(|line| line.split(':').next().unwrap().trim().to_owned())
        .collect()
}

/// The TUN and stand-in vhost descriptors of the process: tests run side by side in threads, so
/// each looks only for its own paths.
fn descriptors_of(path: &str) -> usize {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_str() == Some(path))
        .count()
}

/// Runs alone (they count the process's descriptors), in a fresh network.
fn isolated(test: impl FnOnce()) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let before = (interfaces(), descriptors_of("/dev/net/tun"));
    test();
    assert_eq!(
        (interfaces(), descriptors_of("/dev/net/tun")),
        before,
        "something is left"
    );
}

fn named(name: &str) -> Request {
    Request {
        name: name.to_owned(),
        ..Request::default()
    }
}

fn is_close_on_exec(fd: &impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
    FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC)
}

#[test]
fn an_interface_lives_as_long_as_its_descriptor() {
    isolated(|| {
        let tap = tap::open(&Request::default()).unwrap();
        assert!(interfaces().contains(&tap.name));
        assert_eq!((tap.tap_fds.len(), tap.vhost_fds.len()), (1, 0));
        assert!(is_close_on_exec(&tap.tap_fds[0]));
        let features = tap::features(tap.tap_fds[0].as_raw_fd()).unwrap();
        assert_eq!(tap.vnet_hdr, features & IFF_VNET_HDR != 0);
        let name = tap.name.clone();
        drop(tap);
        assert!(!interfaces().contains(&name));
    });
}

#[test]
fn names_are_the_callers_or_counted_by_the_kernel() {
    isolated(|| {
        let given = tap::open(&named("fifteen-bytes-l")).unwrap();
        assert_eq!(given.name, "fifteen-bytes-l");
        let counted = tap::open(&named("gnt.com.%d")).unwrap();
        assert_eq!(counted.name, "gnt.com.0");
        let next = tap::open(&named("gnt.com.%d")).unwrap();
        assert_eq!(next.name, "gnt.com.1");
    });
}

/// Fault: with a pattern for a name, or none, each queue could become an interface of its own.
#[test]
fn queues_belong_to_one_interface() {
    isolated(|| {
        for name in ["", "mq0", "mq%d"] {
            let before = interfaces().len();
            let request = Request {
                queues: 4,
                ..named(name)
            };
            let tap = tap::open(&request).unwrap();
            assert_eq!(tap.tap_fds.len(), 4);
            assert_eq!(interfaces().len(), before + 1);
            assert!(tap.tap_fds.iter().all(is_close_on_exec));
            let features = tap::features(tap.tap_fds[0].as_raw_fd()).unwrap();
            assert_ne!(features & IFF_MULTI_QUEUE, 0);
        }
    });
}

#[test]
fn vhost_is_opened_once_a_queue() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let vhost = folder.path().join("vhost-net");
        fs::write(&vhost, "").unwrap();
        let request = Request {
            queues: 3,
            vhost: Some(vhost),
            ..Request::default()
        };
        let tap = tap::open(&request).unwrap();
        assert_eq!((tap.tap_fds.len(), tap.vhost_fds.len()), (3, 3));
        assert!(tap.vhost_fds.iter().all(is_close_on_exec));
    });
}

/// Fault: without /dev/vhost-net, `OpenTap` left its descriptors and its interface.
#[test]
fn without_vhost_nothing_is_left() {
    isolated(|| {
        let request = Request {
            vhost: Some(PathBuf::from("/nonexistent/vhost-net")),
            ..named("novhost")
        };
        let error = tap::open(&request).unwrap_err();
        assert_eq!(error.errno(), Some(nix::libc::ENOENT));
        let text = error.to_string();
        assert!(
            text.contains("/nonexistent/vhost-net") && text.contains("No such file"),
            "{text}"
        );
        assert!(!interfaces().contains("novhost"));
    });
}

/// Fault: failing at a later queue left the earlier ones.
#[test]
fn a_later_queue_that_fails_takes_the_earlier_ones_along() {
    isolated(|| {
        // Room for two queues and the third's TUN descriptor, not for its vhost.
        let folder = tempfile::tempdir().unwrap();
        let vhost = folder.path().join("vhost-net");
        fs::write(&vhost, "").unwrap();
        let limit =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        let next = fs::File::open("/dev/null").unwrap().as_raw_fd();
        let room = u64::try_from(next).unwrap() + 5;
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, room, limit.1)
            .unwrap();
        let request = Request {
            queues: 8,
            vhost: Some(vhost.clone()),
            ..named("toomany")
        };
        let result = tap::open(&request);
        nix::sys::resource::setrlimit(
            nix::sys::resource::Resource::RLIMIT_NOFILE,
            limit.0,
            limit.1,
        )
        .unwrap();
        assert_eq!(result.unwrap_err().errno(), Some(nix::libc::EMFILE));
        assert!(!interfaces().contains("toomany"));
        assert_eq!(descriptors_of(vhost.to_str().unwrap()), 0);
    });
}

#[test]
fn a_name_in_use_is_refused_and_the_user_keeps_it() {
    isolated(|| {
        let single = tap::open(&named("inuse")).unwrap();
        for queues in [1, 2] {
            let request = Request {
                queues,
                ..named("inuse")
            };
            let error = tap::open(&request).unwrap_err();
            assert!(matches!(error, TapError::Failed { .. }), "{error}");
            assert!(error.to_string().contains("inuse"), "{error}");
        }
        assert!(interfaces().contains(&single.name));
        assert!(tap::open(&named("lo")).is_err());
    });
}

#[test]
fn what_is_no_tun_device_has_no_features() {
    isolated(|| {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(
            tap::features(file.as_raw_fd()),
            Err(nix::errno::Errno::ENOTTY)
        );
        assert_eq!(tap::features(-1), Err(nix::errno::Errno::EBADF));
    });
}
