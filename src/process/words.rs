//! Values in the command line of a QEMU process: how much memory and how many vCPUs it began with.
//!
//! They are read leniently, and never say who a process is: it may write what it likes there. What
//! cannot be read costs its value.

use std::fs::{self, File};
use std::io::Read;

/// More than any command line of a guest; the kernel's own limit is some MiB.
const MOST_BYTES: u64 = 4 << 20;
const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
/// A PiB: no guest has more.
const MOST_MIB: f64 = KIB * MIB;
const MOST_VCPUS: u64 = 65_536;

/// What a command line says of its guest; None where it does not, or not in known words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// The instance's name (`-name`).
    pub name: Option<String>,
    /// MiB of memory (`-m`).
    pub memory: Option<u64>,
    /// Number of vCPUs (`-smp`).
    pub vcpus: Option<u64>,
}

/// What the command line of process `pid` says; nothing where it cannot be read.
#[must_use]
pub fn values(pid: i32) -> Values {
    let mut bytes = read(&format!("/proc/{pid}/cmdline"));
    if bytes.is_empty() {
        // A main thread that has ended has none; the threads that live on do.
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        bytes = threads
            .map(|thread| read(&format!("{}/cmdline", thread.path().display())))
            .find(|bytes| !bytes.is_empty())
            .unwrap_or_default();
    }
    parse(&String::from_utf8_lossy(&bytes))
}

fn read(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.map_or_else(|_| Vec::new(), |_| bytes)
}

/// Reads the text of /proc/PID/cmdline: words that end with a NUL.
#[must_use]
pub fn parse(command: &str) -> Values {
    let words: Vec<&str> = command.split('\0').collect();
    let mut found = Values::default();
    let mut topology = Options::default();
    // QEMU takes repeated switches as one, part by part: the last one wins.
    for pair in words.windows(2) {
        let [switch, value] = pair else { continue };
        match *switch {
            "-name" | "--name" => {
                found.name = Options::read(value, "guest").take("guest").or(found.name);
            }
            "-m" | "--m" => {
                let size = Options::read(value, "size").take("size");
                found.memory = size.and_then(|size| mebibytes(&size)).or(found.memory);
            }
            "-smp" | "--smp" => topology.0.extend(Options::read(value, "cpus").0),
            _ => {}
        }
    }
    found.vcpus = vcpus(&topology);
    found
}

/// The parts of an option's value, in their order: key and value.
#[derive(Default)]
struct Options(Vec<(String, String)>);

impl Options {
    /// Splits at commas; two commas mean one. The first part may be the value of `first` alone.
    fn read(text: &str, first: &str) -> Self {
        let joined = text.replace(",,", "\u{1}");
        let parts = joined.split(',').enumerate().filter_map(|(place, part)| {
            let part = part.replace('\u{1}', ",");
            match part.split_once('=') {
                Some((key, value)) => Some((key.to_owned(), value.to_owned())),
                None if place == 0 => Some((first.to_owned(), part)),
                None => None,
            }
        });
        Self(parts.collect())
    }

    /// The last value of a key.
    fn take(&self, key: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|(name, _)| name == key)?;
        Some(found.1.clone()).filter(|value| !value.is_empty())
    }

    fn number(&self, key: &str) -> Result<Option<u64>, std::num::ParseIntError> {
        self.take(key).map(|value| value.trim().parse()).transpose()
    }
}

fn mebibytes(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16)
            .ok()
            .filter(|mib| *mib <= 1 << 30);
    }
    let end = text.find(|letter: char| letter.is_ascii_alphabetic());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor = match unit.to_ascii_uppercase().as_str() {
        "B" => 1.0 / MIB,
        "K" => 1.0 / KIB,
        "" | "M" => 1.0,
        "G" => KIB,
        "T" => MIB,
        "P" => KIB * MIB,
        _ => return None,
    };
    let amount = number.parse::<f64>().ok()? * factor;
    if !(0.0..=MOST_MIB).contains(&amount) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within bounds
    Some(amount as u64)
}

fn vcpus(topology: &Options) -> Option<u64> {
    if topology.0.is_empty() {
        return None;
    }
    let count = if let Some(count) = topology.number("cpus").ok()? {
        count
    } else {
        // Without a number QEMU takes what the topology comes to, or else the most there may be.
        let parts = [
            "drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads",
        ];
        let mut count = Some(1_u64);
        let mut any = false;
        for part in parts {
            let number = topology.number(part).ok()?;
            any |= number.is_some();
            count = count.and_then(|count| count.checked_mul(number.unwrap_or(1)));
        }
        match topology.number("maxcpus").ok()? {
            Some(most) if !any || topology.take("sockets").is_none() => most,
            _ => count?,
        }
    };
    (1..=MOST_VCPUS).contains(&count).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Values {
        parse(&words.join("\0"))
    }

    #[test]
    fn memory_in_each_way_that_people_write_it() {
        for (text, mib) in [
            ("192", Some(192)),
            ("192M", Some(192)),
            ("256,slots=2,maxmem=1G", Some(256)),
            ("size=1G,maxmem=4G", Some(1024)),
            ("maxmem=4G,size=1.5g", Some(1536)),
            ("size=1G,size=2G", Some(2048)),
            ("524288k", Some(512)),
            ("0x100", Some(256)),
            ("1T", Some(1 << 20)),
            ("slots=2", None),
            ("lots", None),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("1e30G", None),
            ("", None),
        ] {
            assert_eq!(of(&["qemu", "-m", text]).memory, mib, "{text}");
        }
        assert_eq!(of(&["-m", "128", "-m", "1G"]).memory, Some(1024));
        assert_eq!(of(&["-m", "128", "-m", "maxmem=1G"]).memory, Some(128));
        assert_eq!(of(&["-m", "128", "--m", "lots"]).memory, Some(128));
        assert_eq!(of(&["-m"]), Values::default());
    }

    #[test]
    fn vcpus_in_each_way_that_people_write_them() {
        for (text, count) in [
            ("2", Some(2)),
            ("2,cores=2", Some(2)),
            ("cpus=1,maxcpus=4", Some(1)),
            ("maxcpus=4,cpus=3", Some(3)),
            ("maxcpus=4", Some(4)),
            ("sockets=2,cores=3", Some(6)),
            ("sockets=2,cores=3,maxcpus=6", Some(6)),
            ("many", None),
            ("0", None),
            ("99999999999999999999", None),
            ("sockets=99999999999,cores=99999999999", None),
        ] {
            assert_eq!(of(&["-smp", text]).vcpus, count, "{text}");
        }
        assert_eq!(of(&["-smp", "1", "-smp", "4"]).vcpus, Some(4));
        assert_eq!(of(&["-smp", "2", "-smp", "maxcpus=8"]).vcpus, Some(2));
    }

    #[test]
    fn names_with_their_options() {
        for text in [
            "web1",
            "web1,debug-threads=on",
            "guest=web1",
            "debug-threads=on,guest=web1",
        ] {
            assert_eq!(of(&["-name", text]).name.as_deref(), Some("web1"), "{text}");
        }
        assert_eq!(of(&["-name", "a,,b"]).name.as_deref(), Some("a,b"));
    }
}
