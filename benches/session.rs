//! The session: a command's bytes, and its reply among whatever else comes.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use ganeti_hv_kvm::qmp::codec::DEFAULT_LIMIT;
use ganeti_hv_kvm::qmp::message::Message;
use ganeti_hv_kvm::qmp::session::{Session, Want};

const SCHEMA: &str = include_str!("../tests/data/qmp/7.2/query-qmp-schema.json");
const EVENT: &str =
    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RTC_CHANGE\"}\r\n";

fn main() {
    divan::main();
}

/// The id that the session gave to a command: its peer echoes it.
fn id_of(command: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(command).unwrap_or_default();
    value
        .get("id")
        .map(|id| format!(", \"id\": {id}"))
        .unwrap_or_default()
}

/// A command and its reply, after so many events that nobody has taken.
#[divan::bench(args = [0, 10, 1000])]
fn command(bencher: Bencher<'_, '_>, events: usize) {
    let mut session = Session::new(DEFAULT_LIMIT);
    session.feed(EVENT.repeat(events).as_bytes());
    bencher.bench_local(|| {
        let Ok((command, bytes)) = session.begin("query-status", None) else {
            return None;
        };
        let id = id_of(&bytes);
        session.feed(format!("{{\"return\": {{\"status\": \"running\"}}{id}}}\r\n").as_bytes());
        let reply = session.advance(&Want::Reply(&command));
        assert!(matches!(reply, Ok(Some(_))));
        reply.ok().flatten()
    });
}

/// Events that somebody waits for, one after the other.
#[divan::bench(args = [1, 100, 1000])]
fn events(bencher: Bencher<'_, '_>, count: usize) {
    let (bytes, names) = (EVENT.repeat(count), ["RTC_CHANGE".to_owned()]);
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let mut session = Session::new(DEFAULT_LIMIT);
        session.feed(bytes.as_bytes());
        let wanted = Want::Event {
            names: Some(&names),
            device: None,
        };
        std::iter::from_fn(|| session.advance(&wanted).ok().flatten()).count()
    });
}

/// A large reply, as sessions take it: its value is left alone.
#[divan::bench]
fn large_reply(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_str(SCHEMA))
        .with_inputs(|| SCHEMA.trim_end().to_owned())
        .bench_values(Message::parse);
}

/// The same looked at as a whole.
#[divan::bench]
fn large_message(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_str(SCHEMA))
        .with_inputs(|| SCHEMA.trim_end().to_owned())
        .bench_values(Message::parse);
}
