//! The fleet: many monitors at once. They are stand-ins, threads that answer at once, so that what
//! is measured is the loop and not QEMU; `make bench` measures it with QEMU.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../tests/rust/support/mod.rs"]
mod support;

use divan::Bencher;
use divan::counter::ItemsCount;
use ganeti_hv_kvm::qmp::codec::DEFAULT_LIMIT;
use ganeti_hv_kvm::qmp::fleet::{Question, query};
use support::{AMPLE, Monitor, guests, within};

fn main() {
    divan::main();
}

/// Two questions to each of so many guests, as a listing asks them.
#[divan::bench(args = [1, 10, 100, 300])]
fn listing(bencher: Bencher<'_, '_>, count: usize) {
    let monitors: Vec<Monitor> = (0..count)
        .map(|_| {
            Monitor::run(|peer| {
                peer.shake_hands();
                while peer.answer("{\"status\": \"running\"}").is_some() {}
            })
        })
        .collect();
    let guests = guests(&monitors);
    let questions = ["query-status", "query-balloon"].map(|command| Question {
        command: command.to_owned(),
        arguments: None,
    });
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let answers = query(&guests, &questions, DEFAULT_LIMIT, &within(AMPLE)).unwrap();
        assert!(answers.iter().all(|answer| answer.error.is_none()));
    });
}
