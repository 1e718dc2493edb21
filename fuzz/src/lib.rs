//! What the fuzzer runs, and `cargo test --test fuzz` for a short while (tests/rust/fuzz.rs).

mod model;
mod targets;

pub use targets::{codec, message, process, session};
