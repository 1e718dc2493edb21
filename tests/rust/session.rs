//! The session: whatever comes between them, each command gets its own reply and each event stays.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use ganeti_hv_kvm::qmp::message::Message;
use ganeti_hv_kvm::qmp::session::{MAX_EVENTS, Session, Want};
use proptest::collection::vec;
use proptest::prelude::*;

fn session() -> Session {
    Session::new(1 << 20)
}

fn id_of(line: &[u8]) -> String {
    id_if_any(line).unwrap()
}

fn id_if_any(line: &[u8]) -> Option<String> {
    let sent: serde_json::Value = serde_json::from_slice(line).unwrap();
    sent.get("id").map(ToString::to_string)
}

/// A reply as QEMU writes it: with the id of its command if that has one.
fn reply(body: &str, id: Option<&str>) -> String {
    match id {
        Some(id) => format!("{{{body}, \"id\": {id}}}"),
        None => format!("{{{body}}}"),
    }
}

fn feed(session: &mut Session, text: &str) {
    session.feed(text.as_bytes());
    session.feed(b"\r\n");
}

fn event(name: &str, number: usize) -> String {
    format!(
        r#"{{"event": "{name}", "data": {{"n": {number}, "device": "d{number}"}}, "timestamp": {{"seconds": 1, "microseconds": 2}}}}"#
    )
}

fn next_event(session: &mut Session, names: &[&str], device: Option<&str>) -> Option<String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let want = Want::Event {
        names: &names,
        device,
    };
    let message = session.advance(&want).unwrap()?;
    Some(message.payload().unwrap().to_owned())
}

/// What a peer says around the reply to a command.
#[derive(Debug, Clone)]
enum Noise {
    Event,
    Foreign,
    SecondGreeting,
    Again,
}

fn noise() -> impl Strategy<Value = Vec<Noise>> {
    vec(
        prop_oneof![
            Just(Noise::Event),
            Just(Noise::Foreign),
            Just(Noise::SecondGreeting),
            Just(Noise::Again),
        ],
        0..8,
    )
}

proptest! {
    /// Faults: a late reply was taken for the next command's; an event before its command's
    /// reply was lost.
    #[test]
    fn each_command_gets_its_own_reply_and_no_event_is_lost(
        rounds in vec((noise(), noise(), any::<bool>()), 1..10),
        piece in 1_usize..60,
    ) {
        let mut session = session();
        let mut events = 0;
        let mut foreign = 0;
        let mut last_id = None::<String>;
        for (round, (before, after, fails)) in rounds.iter().enumerate() {
            let (ticket, line) = session.begin("query-name", None);
            let id = id_if_any(&line);
            prop_assert_eq!(id.is_some(), round == 0);
            let mut stream = String::new();
            let mut say = |noise: &[Noise], stream: &mut String| {
                for what in noise {
                    let line = match what {
                        Noise::Event => {
                            events += 1;
                            event("E", events)
                        }
                        Noise::Foreign => {
                            foreign += 1;
                            r#"{"return": "foreign", "id": "foreign"}"#.to_owned()
                        }
                        Noise::SecondGreeting => {
                            r#"{"QMP": {"version": {"qemu": {"major": 1, "minor": 2, "micro": 3}}}}"#.to_owned()
                        }
                        Noise::Again => match &last_id {
                            Some(id) => {
                                foreign += 1;
                                format!(r#"{{"return": "again", "id": {id}}}"#)
                            }
                            None => continue,
                        },
                    };
                    stream.push_str(&line);
                    stream.push_str("\r\n");
                }
            };
            say(before, &mut stream);
            let body = if *fails {
                format!(r#""error": {{"class": "C", "desc": "{round}"}}"#)
            } else {
                format!(r#""return": {round}"#)
            };
            stream.push_str(&(reply(&body, id.as_deref()) + "\r\n"));
            say(after, &mut stream);

            let mut came = None;
            for bytes in stream.as_bytes().chunks(piece) {
                session.feed(bytes);
                if came.is_none() {
                    came = session.advance(&Want::Reply(&ticket)).unwrap();
                }
            }
            session.sort().unwrap();
            let came = came.unwrap();
            prop_assert_eq!(came.refusal().is_some(), *fails);
            let says = came.refusal().map_or(came.payload(), |(_, desc)| Some(desc));
            prop_assert_eq!(says.map(str::to_owned), Some(round.to_string()));
            last_id = id.or(last_id);
        }
        for number in 1..=events {
            let data = next_event(&mut session, &["E"], None).unwrap();
            prop_assert!(data.contains(&format!("\"n\": {number},")), "{data} is not event {number}");
        }
        prop_assert_eq!(next_event(&mut session, &["E"], None), None);
        prop_assert_eq!(session.lost_events(), 0);
        prop_assert_eq!(session.dropped_replies(), foreign);
    }

    /// QEMU gives the reply to an earlier client's last command to us; whose it is, is known before
    /// the first of our own commands is over.
    #[test]
    fn an_earlier_clients_reply_is_never_ours(
        stale in prop_oneof![
            Just(""),
            Just(r#""return": "stale""#),
            Just(r#""return": {}"#),
            Just(r#""error": {"class": "C", "desc": "stale"}"#),
        ],
        stale_id in prop_oneof![Just(None), Just(Some("-7")), Just(Some("\"Zk3x\""))],
        fails in any::<bool>(),
        aside in any::<bool>(),
        others in 0_usize..4,
        piece in 1_usize..60,
    ) {
        let mut session = session();
        let mut stream = Vec::new();
        // What has no id and says no more than "done" could be a stand-in's: only to QEMU aside.
        if !stale.is_empty() && (aside || stale_id.is_some() || stale.contains("error")) {
            stream.push(reply(stale, stale_id));
        }
        let (ticket, line) = if aside {
            let asked = session.negotiate_aside();
            prop_assert_eq!(id_if_any(&asked), None);
            stream.push(r#"{"return": {}}"#.to_owned());
            session.begin("first", None)
        } else {
            session.negotiate()
        };
        stream.push(event("E", 1));
        let body = if fails { r#""error": {"class": "C", "desc": "0"}"# } else { r#""return": 0"# };
        stream.push(reply(body, Some(&id_of(&line))));
        let mut came = None;
        for bytes in (stream.join("\r\n") + "\r\n").as_bytes().chunks(piece) {
            session.feed(bytes);
            if came.is_none() {
                came = session.advance(&Want::Reply(&ticket)).unwrap();
            }
        }
        let came = came.unwrap();
        prop_assert_eq!(session.refusal(), None);
        prop_assert_eq!(came.refusal().map_or(came.payload(), |(_, desc)| Some(desc)), Some("0"));
        for number in 1..=others {
            let (ticket, line) = session.begin("next", None);
            prop_assert_eq!(id_if_any(&line), None);
            feed(&mut session, &event("E", number + 1));
            feed(&mut session, &format!("{{\"return\": {number}}}"));
            let came = session.advance(&Want::Reply(&ticket)).unwrap().unwrap();
            prop_assert_eq!(came.payload().map(str::to_owned), Some(number.to_string()));
        }
        for _ in 0..=others {
            prop_assert!(next_event(&mut session, &["E"], None).is_some());
        }
    }

    /// Several commands on the way, asked after in any order.
    #[test]
    fn commands_that_wait_together_get_their_own_replies(
        anchored in any::<bool>(),
        own_ids in vec(any::<bool>(), 1..8),
        order in any::<proptest::sample::Index>(),
        piece in 1_usize..60,
    ) {
        let mut session = session();
        if anchored {
            let (ticket, line) = session.begin("first", None);
            feed(&mut session, &reply(r#""return": {}"#, Some(&id_of(&line))));
            prop_assert!(session.advance(&Want::Reply(&ticket)).unwrap().is_some());
        }
        let mut tickets = Vec::new();
        let mut stream = String::new();
        for (number, own_id) in own_ids.iter().enumerate() {
            let line = if *own_id {
                let text = format!(r#"{{"execute": "adopted", "id": {number}}}"#);
                tickets.push(None);
                session.adopt(&text).unwrap()
            } else {
                let (ticket, line) = session.begin("begun", None);
                tickets.push(Some(ticket));
                line
            };
            let body = format!("\"return\": {number}");
            stream += &(reply(&body, id_if_any(&line).as_deref()) + "\r\n");
            stream += &(event("E", number) + "\r\n");
        }
        for bytes in stream.as_bytes().chunks(piece) {
            session.feed(bytes);
            if order.index(2) == 0 {
                session.sort().unwrap();
            }
        }
        let mut wanted: Vec<usize> = (0..tickets.len()).filter(|n| tickets[*n].is_some()).collect();
        let half = order.index(wanted.len() + 1);
        wanted.rotate_left(half);
        for number in wanted {
            let ticket = tickets[number].take().unwrap();
            let came = session.advance(&Want::Reply(&ticket)).unwrap().unwrap();
            prop_assert_eq!(came.payload().map(str::to_owned), Some(number.to_string()));
        }
        for (number, own_id) in own_ids.iter().enumerate() {
            if *own_id {
                let came = session.advance(&Want::OldestReply).unwrap().unwrap();
                prop_assert_eq!(came.payload().map(str::to_owned), Some(number.to_string()));
            }
        }
        prop_assert_eq!(session.advance(&Want::OldestReply).unwrap(), None);
        prop_assert_eq!(session.dropped_replies(), 0);
        for _ in &own_ids {
            prop_assert!(next_event(&mut session, &["E"], None).is_some());
        }
    }

    #[test]
    fn events_are_kept_up_to_the_bound_and_the_lost_are_counted(extra in 0_usize..300) {
        let mut session = session();
        let (ticket, line) = session.begin("stop", None);
        for number in 0..MAX_EVENTS + extra {
            feed(&mut session, &event("E", number));
        }
        feed(&mut session, &format!("{{\"return\": {{}}, \"id\": {}}}", id_of(&line)));
        prop_assert!(session.advance(&Want::Reply(&ticket)).unwrap().is_some());
        prop_assert_eq!(session.lost_events(), extra as u64);
        let oldest = next_event(&mut session, &["E"], None).unwrap();
        prop_assert!(oldest.contains(&format!("\"n\": {extra},")), "{oldest}");
    }
}

#[test]
fn events_are_kept_up_to_the_bytes_of_a_message_limit() {
    let mut session = Session::new(10_000);
    let filler = "x".repeat(900);
    for number in 0..100 {
        let text = format!(r#"{{"event": "E", "data": {{"n": {number}, "filler": "{filler}"}}}}"#);
        feed(&mut session, &text);
    }
    session.sort().unwrap();
    assert!(session.lost_events() >= 89, "{}", session.lost_events());
    let mut left = 0;
    while next_event(&mut session, &["E"], None).is_some() {
        left += 1;
    }
    assert_eq!(left + session.lost_events(), 100);
    assert!(left >= 9);
}

#[test]
fn an_event_is_found_by_name_and_device_and_the_others_stay() {
    let mut session = session();
    for (name, number) in [("A", 1), ("B", 2), ("A", 3), ("B", 3)] {
        feed(&mut session, &event(name, number));
    }
    assert!(
        next_event(&mut session, &["A", "B"], Some("d3"))
            .unwrap()
            .contains("\"n\": 3,")
    );
    assert!(
        next_event(&mut session, &["B"], None)
            .unwrap()
            .contains("\"n\": 2,")
    );
    assert!(next_event(&mut session, &["C"], None).is_none());
    assert!(
        next_event(&mut session, &["A"], None)
            .unwrap()
            .contains("\"n\": 1,")
    );
    assert!(next_event(&mut session, &["A", "B"], Some("d3")).is_some());
    assert!(next_event(&mut session, &["A", "B"], None).is_none());
}

#[test]
fn what_an_earlier_session_was_to_get_is_dropped() {
    let (mut one, mut other) = (session(), session());
    let (_, first) = one.begin("qmp_capabilities", None);
    let (_, second) = one.begin("stop", None);
    let (ticket, third) = other.begin("qmp_capabilities", None);
    let ids = [id_of(&first), id_of(&second), id_of(&third)];
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
    for id in ids {
        feed(&mut other, &format!("{{\"return\": {id}, \"id\": {id}}}"));
    }
    let reply = other.advance(&Want::Reply(&ticket)).unwrap().unwrap();
    assert_eq!(reply.payload(), Some(id_of(&third).as_str()));
    assert_eq!(other.dropped_replies(), 2);
    let (_, fourth) = other.begin("cont", None);
    assert_eq!(id_if_any(&fourth), None);
}

fn reply_to(session: &mut Session, command: &str) -> Option<Message> {
    let (ticket, _) = session.begin(command, None);
    session.advance(&Want::Reply(&ticket)).unwrap()
}

/// Ganeti's stand-in QEMU echoes no id, and may answer before it was asked.
#[test]
fn a_peer_without_ids_is_answered_in_order() {
    let mut session = session();
    feed(&mut session, "{\"return\": 1}\r\n{\"return\": 2}");
    assert_eq!(reply_to(&mut session, "a").unwrap().payload(), Some("1"));
    session.sort().unwrap();
    assert_eq!(reply_to(&mut session, "b").unwrap().payload(), Some("2"));
    let (ticket, _) = session.begin("c", None);
    assert_eq!(session.advance(&Want::Reply(&ticket)), Ok(None));
    feed(&mut session, "{\"return\": 3}");
    let reply = session.advance(&Want::Reply(&ticket)).unwrap().unwrap();
    assert_eq!(reply.payload(), Some("3"));
}

/// QEMU says so where it could not read a command.
#[test]
fn an_error_without_an_id_is_for_the_oldest_command() {
    let unreadable = r#"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#;
    let mut session = session();
    session.negotiate_aside();
    feed(&mut session, r#"{"return": {}}"#);
    for _ in 0..2 {
        let (ticket, _) = session.begin("a", None);
        feed(&mut session, unreadable);
        let came = session.advance(&Want::Reply(&ticket)).unwrap().unwrap();
        assert_eq!(came.refusal(), Some(("GenericError", "JSON parse error")));
    }
    assert_eq!(session.refusal(), None);
    assert_eq!(session.dropped_replies(), 0);
}

/// A reply without an id is nobody's while the oldest command has one.
#[test]
fn an_id_that_the_caller_wrote_is_waited_for() {
    let mut session = session();
    let (ticket, line) = session.begin("a", None);
    feed(&mut session, &reply(r#""return": 1"#, Some(&id_of(&line))));
    assert!(session.advance(&Want::Reply(&ticket)).unwrap().is_some());
    session.adopt(r#"{"execute": "b", "id": 1}"#).unwrap();
    let (ticket, _) = session.begin("c", None);
    feed(&mut session, r#"{"return": "nobody's"}"#);
    assert_eq!(session.advance(&Want::OldestReply), Ok(None));
    assert_eq!(session.dropped_replies(), 1);
    feed(&mut session, r#"{"return": "b", "id": 1}"#);
    feed(&mut session, r#"{"return": "c"}"#);
    let came = session.advance(&Want::OldestReply).unwrap().unwrap();
    assert_eq!(came.payload(), Some("\"b\""));
    let came = session.advance(&Want::Reply(&ticket)).unwrap().unwrap();
    assert_eq!(came.payload(), Some("\"c\""));
}

#[test]
fn messages_that_the_caller_wrote_get_an_id_if_they_lack_one() {
    let mut session = session();
    let line = session.adopt(r#"{"execute": "stop"}"#).unwrap();
    let first = id_of(&line);
    assert_eq!(first.len(), "\"1234\"".len(), "{first}");
    let line = session
        .adopt(r#"{"execute": "cont", "id": {"mine": 1}}"#)
        .unwrap();
    assert_eq!(id_of(&line), r#"{"mine":1}"#);
    assert_eq!(session.adopt("{}").unwrap(), b"{}\n");
    for bad in ["[]", "{\n}", "x", "{\"execute\": 1}"] {
        assert!(session.adopt(bad).is_err(), "{bad}");
    }
    feed(&mut session, r#"{"return": 2, "id": {"mine": 1}}"#);
    feed(&mut session, &format!("{{\"return\": 1, \"id\": {first}}}"));
    let reply = session.advance(&Want::OldestReply).unwrap().unwrap();
    assert_eq!(reply.payload(), Some("1"));
    let reply = session.advance(&Want::OldestReply).unwrap().unwrap();
    assert_eq!(reply.payload(), Some("2"));
}

#[test]
fn anything_gives_what_was_kept_first_and_in_order() {
    let mut session = session();
    feed(&mut session, &event("A", 1));
    feed(&mut session, r#"{"return": 1}"#);
    feed(&mut session, &event("A", 2));
    session.sort().unwrap();
    feed(&mut session, r#"{"return": 2, "id": "who"}"#);
    let mut came = Vec::new();
    while let Some(message) = session.advance(&Want::Anything).unwrap() {
        came.push(message.text().to_owned());
    }
    let expected = [
        event("A", 1),
        r#"{"return": 1}"#.into(),
        event("A", 2),
        r#"{"return": 2, "id": "who"}"#.into(),
    ];
    assert_eq!(came, expected);
}

#[test]
fn before_the_greeting_there_may_be_events_and_one_late_reply() {
    let mut first = session();
    feed(&mut first, &event("A", 1));
    feed(&mut first, r#"{"return": {}, "id": "an earlier client's"}"#);
    assert_eq!(first.advance(&Want::Greeting), Ok(None));
    feed(
        &mut first,
        r#"{"QMP": {"version": {"qemu": {"major": 0, "minor": 13, "micro": 50}, "package": " x ", "capabilities": []}}}"#,
    );
    assert!(first.advance(&Want::Greeting).unwrap().is_some());
    assert!(next_event(&mut first, &["A"], None).is_some());

    let mut second = session();
    feed(&mut second, r#"{"return": {}}"#);
    assert_eq!(second.advance(&Want::Greeting), Ok(None));
    assert!(second.rashness().is_some());
    feed(&mut second, r#"{"return": {}}"#);
    assert!(second.advance(&Want::Greeting).is_err());
    let mut third = session();
    feed(&mut third, r#"{"hello": "world"}"#);
    assert!(third.advance(&Want::Greeting).is_err());
}
