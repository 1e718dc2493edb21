//! Whether the freezer of a cgroup holds a process: it obeys nobody until it is thawed.

use std::fs;
use std::path::{Path, PathBuf};

const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// Whether process `pid` is frozen; false where nothing tells, as this only explains a silence.
pub(super) fn is_frozen(pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next(), fields.next());
        match (controllers, path) {
            (Some(""), Some(path)) => MOUNTS
                .iter()
                .any(|mount| says(&below(mount, path).join("cgroup.events"), "frozen 1")),
            (Some(list), Some(path)) if list.split(',').any(|name| name == "freezer") => {
                says(&below(FREEZER, path).join("freezer.state"), "FROZEN")
            }
            _ => false,
        }
    })
}

fn below(mount: &str, path: &str) -> PathBuf {
    Path::new(mount).join(path.trim_start_matches('/'))
}

fn says(file: &Path, line: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|one| one == line))
}
