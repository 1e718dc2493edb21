//! The codec: bytes to lines, in the pieces in which a socket gives them.

use divan::Bencher;
use divan::counter::BytesCount;
use ganeti_hv_kvm::qmp::codec::{Codec, DEFAULT_LIMIT};

const SCHEMA: &str = include_str!("../tests/data/qmp/7.2/query-qmp-schema.json");

fn main() {
    divan::main();
}

/// One large line, by the size of the pieces in which it comes.
#[divan::bench(args = [1 << 10, 1 << 14, 1 << 18])]
fn large_reply(bencher: Bencher<'_, '_>, piece: usize) {
    let line = format!("{}\r\n", SCHEMA.trim_end());
    bencher.counter(BytesCount::of_str(&line)).bench(|| {
        let mut codec = Codec::new(DEFAULT_LIMIT);
        let mut lines = Vec::new();
        for bytes in line.as_bytes().chunks(piece) {
            codec.feed(bytes);
            while let Ok(Some(line)) = codec.next_line() {
                lines.push(line);
            }
        }
        lines
    });
}

/// A line of growing size: the time for a byte must stay the same.
#[divan::bench(args = [1 << 16, 1 << 20, 1 << 24])]
fn growing_reply(bencher: Bencher<'_, '_>, size: usize) {
    let line = format!("{{\"return\": \"{}\"}}\r\n", "x".repeat(size));
    bencher.counter(BytesCount::of_str(&line)).bench(|| {
        let mut codec = Codec::new(DEFAULT_LIMIT);
        for bytes in line.as_bytes().chunks(1 << 16) {
            codec.feed(bytes);
        }
        codec.next_line()
    });
}

/// Many small lines at once, as a guest's events come.
#[divan::bench(args = [1, 100, 10_000])]
fn small_lines(bencher: Bencher<'_, '_>, count: usize) {
    let line = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESUME\"}\r\n";
    let lines = line.repeat(count);
    bencher.counter(BytesCount::of_str(&lines)).bench(|| {
        let mut codec = Codec::new(DEFAULT_LIMIT);
        codec.feed(lines.as_bytes());
        std::iter::from_fn(|| codec.next_line().ok().flatten()).count()
    });
}
