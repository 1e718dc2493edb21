//! Whose sockets these are: told by the links in /proc/PID/fd.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// The processes that have certain sockets open.
#[derive(Debug, Default)]
pub struct Holders(HashMap<u32, i32>);

impl Holders {
    /// Looks for the processes that have sockets of these inodes open.
    ///
    /// Whose descriptors cannot be read is passed over; one of several holders of a socket is named.
    #[must_use]
    pub fn of(inodes: &[u32]) -> Self {
        let wanted: HashSet<u32> = inodes.iter().copied().filter(|inode| *inode != 0).collect();
        let mut found = HashMap::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for entry in processes {
            if found.len() == wanted.len() {
                break;
            }
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            for inode in sockets_of(&entry.path()) {
                if wanted.contains(&inode) {
                    found.entry(inode).or_insert(pid);
                }
            }
        }
        Self(found)
    }

    /// One that has the socket open; None if nobody who can be seen from here does.
    #[must_use]
    pub fn first(&self, inode: u32) -> Option<i32> {
        self.0.get(&inode).copied()
    }
}

fn sockets_of(process: &Path) -> Vec<u32> {
    let found = sockets_in(&process.join("fd"));
    if !found.is_empty() {
        return found;
    }
    // A main thread that has ended shows no files; the threads that live on do.
    let threads = fs::read_dir(process.join("task"))
        .into_iter()
        .flatten()
        .flatten();
    threads
        .skip(1)
        .map(|thread| sockets_in(&thread.path().join("fd")))
        .find(|sockets| !sockets.is_empty())
        .unwrap_or_default()
}

fn sockets_in(folder: &Path) -> Vec<u32> {
    let links = fs::read_dir(folder).into_iter().flatten().flatten();
    links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}
