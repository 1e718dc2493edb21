//! A short run of what the fuzzer runs for minutes (`make fuzz`), from the same seeds.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    clippy::missing_panics_doc
)]

#[path = "../../fuzz/src/model.rs"]
mod model;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

fn recordings(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recordings(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn recordings_of_a_real_qemu() {
    let mut paths = Vec::new();
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/qmp");
    recordings(&data, &mut paths);
    assert!(paths.len() > 10);
    for path in paths {
        let mut bytes = fs::read(path).unwrap();
        targets::message(&bytes);
        targets::codec(&bytes[..bytes.len().min(2000)]);
        bytes.truncate(10_000);
        targets::session(&bytes);
    }
}

/// What looks like messages, or almost.
fn parts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(": "),
        Just(", "),
        Just("\"return\""),
        Just("\"QMP\""),
        Just("\"event\""),
        Just("\"error\""),
        Just("\"id\""),
        Just("1e999"),
        Just("null"),
        Just("\"\\ud800\""),
        Just("\"desc\""),
        Just("\"data\""),
        Just("-1"),
        Just("\"execute\""),
        Just("\"x\""),
        Just("\\"),
        Just("\u{2028}"),
        Just("0.5"),
    ];
    vec(part, 0..30).prop_map(|parts| parts.concat())
}

/// Command lines, or almost.
fn command_line() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\0"),
        Just("-m\0"),
        Just("-smp\0"),
        Just("-name\0"),
        Just("size="),
        Just("cpus="),
        Just("maxcpus=4"),
        Just("sockets="),
        Just("guest="),
        Just(","),
        Just(",,"),
        Just("1.5g"),
        Just("99999999999999999999"),
        Just("-1"),
        Just("0x"),
        Just("nan"),
        Just("\u{1}"),
        Just(") R 1"),
    ];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

/// Netlink messages with lengths that are right, or almost.
fn sockets() -> impl Strategy<Value = Vec<u8>> {
    let message = (vec(any::<u8>(), 0..64), 0..4_u32, 18..22_u16).prop_map(|(body, off, kind)| {
        let length = u32::try_from(body.len()).unwrap() + 16 + off;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    });
    vec(message, 0..6).prop_map(|messages| messages.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn codec(mut data in vec(any::<u8>(), 0..600), ascii in any::<bool>()) {
        for byte in data.iter_mut().skip(2) {
            match *byte {
                0..20 => *byte = b'\n',
                20..40 => *byte = b' ',
                other if ascii => *byte = other & 0x7f,
                _ => {}
            }
        }
        targets::codec(&data);
    }

    #[test]
    fn message(text in parts(), object in any::<bool>()) {
        targets::message(text.as_bytes());
        if object {
            targets::message(format!("{{{text}}}").as_bytes());
        }
    }

    #[test]
    fn process(data in vec(any::<u8>(), 0..600), table in sockets(), words in command_line()) {
        targets::process(&data);
        targets::process(&table);
        targets::process(words.as_bytes());
    }

    #[test]
    fn session(data in vec(any::<u8>(), 0..1500)) {
        targets::session(&data);
    }
}
