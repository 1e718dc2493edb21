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
    let sent: serde_json::Value = serde_json::from_slice(line).unwrap();
    sent["id"].to_string()
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
        names: Some(&names),
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
            let (command, line) = session.begin("query-name", None).unwrap();
            let id = Some(id_of(&line));
            let longest = if round == 0 { 6 } else { 2 };
            prop_assert!(id.as_ref().unwrap().len() <= longest);
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
                    came = session.advance(&Want::Reply(&command)).unwrap();
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
            Just(r#""error": {"class": "CommandNotFound", "desc": "stale"}"#),
        ],
        stale_id in prop_oneof![Just(None), Just(Some("1")), Just(Some("2")), Just(Some("\"Zk3x\""))],
        carried_out in any::<bool>(),
        fails in vec(any::<bool>(), 1..6),
        piece in 1_usize..60,
    ) {
        let mut session = session();
        let mut stream = Vec::new();
        if !stale.is_empty() {
            stream.push(reply(stale, stale_id));
        }
        let (_, asked) = session.negotiate();
        stream.push(reply(if carried_out {
            r#""error": {"class": "CommandNotFound", "desc": "in command mode already"}"#
        } else {
            r#""return": {}"#
        }, Some(&id_of(&asked))));
        let mut pending = Vec::new();
        for (number, fails) in fails.iter().enumerate() {
            let (command, line) = session.begin("any", None).unwrap();
            let body = if *fails {
                format!(r#""error": {{"class": "CommandNotFound", "desc": "{number}"}}"#)
            } else {
                format!("\"return\": {number}")
            };
            stream.push(event("E", number + 1));
            stream.push(reply(&body, Some(&id_of(&line))));
            pending.push(command);
        }
        let mut came = Vec::new();
        for bytes in (stream.join("\r\n") + "\r\n").as_bytes().chunks(piece) {
            session.feed(bytes);
            while let Some(command) = pending.get(came.len()) {
                match session.advance(&Want::Reply(command)).unwrap() {
                    Some(reply) => came.push(reply),
                    None => break,
                }
            }
        }
        prop_assert!(session.is_negotiated());
        prop_assert_eq!(came.len(), fails.len());
        for (number, (came, fails)) in came.iter().zip(&fails).enumerate() {
            prop_assert_eq!(came.refusal().is_some(), *fails);
            let says = came.refusal().map_or(came.payload(), |(_, desc)| Some(desc));
            prop_assert_eq!(says.map(str::to_owned), Some(number.to_string()));
        }
        for _ in &fails {
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
            let (command, line) = session.begin("first", None).unwrap();
            feed(&mut session, &reply(r#""return": {}"#, Some(&id_of(&line))));
            prop_assert!(session.advance(&Want::Reply(&command)).unwrap().is_some());
        }
        let mut pending = Vec::new();
        let mut stream = String::new();
        for (number, own_id) in own_ids.iter().enumerate() {
            let line = if *own_id {
                let text = format!(r#"{{"execute": "adopted", "id": {number}}}"#);
                pending.push(None);
                session.adopt(&text).unwrap()
            } else {
                let (command, line) = session.begin("begun", None).unwrap();
                pending.push(Some(command));
                line
            };
            let body = format!("\"return\": {number}");
            stream += &(reply(&body, Some(&id_of(&line))) + "\r\n");
            stream += &(event("E", number) + "\r\n");
        }
        for bytes in stream.as_bytes().chunks(piece) {
            session.feed(bytes);
            if order.index(2) == 0 {
                session.sort().unwrap();
            }
        }
        let mut wanted: Vec<usize> = (0..pending.len()).filter(|n| pending[*n].is_some()).collect();
        let half = order.index(wanted.len() + 1);
        wanted.rotate_left(half);
        for number in wanted {
            let command = pending[number].take().unwrap();
            let came = session.advance(&Want::Reply(&command)).unwrap().unwrap();
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
        let (command, line) = session.begin("stop", None).unwrap();
        for number in 0..MAX_EVENTS + extra {
            feed(&mut session, &event("E", number));
        }
        feed(&mut session, &format!("{{\"return\": {{}}, \"id\": {}}}", id_of(&line)));
        prop_assert!(session.advance(&Want::Reply(&command)).unwrap().is_some());
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
    let (_, first) = one.begin("qmp_capabilities", None).unwrap();
    let (_, second) = one.begin("stop", None).unwrap();
    let (command, third) = other.begin("qmp_capabilities", None).unwrap();
    let ids = [id_of(&first), id_of(&second), id_of(&third)];
    assert_ne!(ids[0], ids[2]);
    assert_eq!(ids[1], "1");
    for id in &ids {
        feed(&mut other, &format!("{{\"return\": {id}, \"id\": {id}}}"));
    }
    let reply = other.advance(&Want::Reply(&command)).unwrap().unwrap();
    assert_eq!(reply.payload(), Some(id_of(&third).as_str()));
    assert_eq!(other.dropped_replies(), 2);
    let (_, fourth) = other.begin("cont", None).unwrap();
    assert_eq!(id_of(&fourth), "1");
}

fn reply_to(session: &mut Session, command: &str) -> Option<Message> {
    let (command, _) = session.begin(command, None).unwrap();
    session.advance(&Want::Reply(&command)).unwrap()
}

/// Ganeti's stand-in QEMU echoes no id, and may answer before it was asked.
#[test]
fn a_peer_without_ids_is_answered_in_order() {
    let mut session = session();
    feed(&mut session, "{\"return\": 1}\r\n{\"return\": 2}");
    assert_eq!(reply_to(&mut session, "a").unwrap().payload(), Some("1"));
    session.sort().unwrap();
    assert_eq!(reply_to(&mut session, "b").unwrap().payload(), Some("2"));
    let (command, _) = session.begin("c", None).unwrap();
    assert_eq!(session.advance(&Want::Reply(&command)), Ok(None));
    feed(&mut session, "{\"return\": 3}");
    let reply = session.advance(&Want::Reply(&command)).unwrap().unwrap();
    assert_eq!(reply.payload(), Some("3"));
}

/// QEMU says so where it could not read a command, several times where one is too large: whoever
/// takes it for the oldest command's refusal is wrong about all that follow.
#[test]
fn an_error_without_an_id_ends_the_session() {
    let unreadable = r#"{"error": {"class": "GenericError", "desc": "JSON parse\nerror"}}"#;
    let mut session = session();
    let (_, line) = session.negotiate();
    feed(&mut session, &reply(r#""return": {}"#, Some(&id_of(&line))));
    let (command, _) = session.begin("a", None).unwrap();
    feed(&mut session, unreadable);
    let error = session.advance(&Want::Reply(&command)).unwrap_err();
    assert!(error.0.contains(r#""JSON parse\nerror""#), "{error}");
}

#[test]
fn one_before_the_first_reply_may_be_an_earlier_clients_and_two_may_not() {
    let left = r#"{"error": {"class": "GenericError", "desc": "left"}}"#;
    let mut session = session();
    let (command, line) = session.negotiate();
    feed(&mut session, left);
    assert_eq!(session.advance(&Want::Reply(&command)), Ok(None));
    assert!(session.unattributed().unwrap().contains("left"));
    feed(&mut session, &reply(r#""return": {}"#, Some(&id_of(&line))));
    assert!(session.advance(&Want::Reply(&command)).unwrap().is_some());
    assert_eq!(session.unattributed(), None);

    let mut session = self::session();
    let (command, _) = session.negotiate();
    feed(&mut session, left);
    feed(&mut session, left);
    assert!(session.advance(&Want::Reply(&command)).is_err());
}

/// A reply without an id is nobody's of a peer that has ids.
#[test]
fn an_id_that_the_caller_wrote_is_waited_for() {
    let mut session = session();
    let (command, line) = session.begin("a", None).unwrap();
    feed(&mut session, &reply(r#""return": 1"#, Some(&id_of(&line))));
    assert!(session.advance(&Want::Reply(&command)).unwrap().is_some());
    session.adopt(r#"{"execute": "b", "id": 1.0}"#).unwrap();
    let (command, line) = session.begin("c", None).unwrap();
    feed(&mut session, r#"{"return": "nobody's"}"#);
    assert_eq!(session.advance(&Want::OldestReply), Ok(None));
    assert_eq!(session.dropped_replies(), 1);
    feed(&mut session, r#"{"return": "b", "id": 1}"#);
    feed(
        &mut session,
        &reply(r#""return": "c""#, Some(&id_of(&line))),
    );
    let came = session.advance(&Want::OldestReply).unwrap().unwrap();
    assert_eq!(came.payload(), Some("\"b\""));
    let came = session.advance(&Want::Reply(&command)).unwrap().unwrap();
    assert_eq!(came.payload(), Some("\"c\""));
}

/// As QEMU 7.2 and 10 were seen to write them.
#[test]
fn ids_are_compared_as_qemu_writes_them() {
    for (sent, echoed) in [
        ("1.0", "1"),
        ("-0.0", "-0"),
        ("1e2", "100"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("0.1", "0.10000000000000001"),
        (r#"{"b": 1, "a": [2.50]}"#, r#"{"a": [2.5], "b": 1}"#),
        (r#""\u0041""#, r#""A""#),
        (r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#),
    ] {
        let mut session = session();
        session
            .adopt(&format!("{{\"execute\": \"a\", \"id\": {sent}}}"))
            .unwrap();
        feed(&mut session, &reply("\"return\": 1", Some(echoed)));
        assert!(
            session.advance(&Want::OldestReply).unwrap().is_some(),
            "{sent}"
        );
    }
}

#[test]
fn an_id_of_null_is_none() {
    let mut session = session();
    let line = session.adopt(r#"{"id": null, "execute": "a"}"#).unwrap();
    let text = String::from_utf8(line.clone()).unwrap();
    assert_eq!(text.matches("\"id\"").count(), 1, "{text}");
    feed(&mut session, &reply("\"return\": 1", Some(&id_of(&line))));
    assert!(session.advance(&Want::OldestReply).unwrap().is_some());
}

#[test]
fn members_that_we_do_not_know_are_ignored_in_any_order() {
    for text in [
        r#"{"return": {}, "id": ID, "warnings": []}"#,
        r#"{"warnings": [{"id": 7}], "id": ID, "return": {}}"#,
        r#"{"id": ID, "return": {}, "x": {"return": 1, "error": 2}}"#,
    ] {
        let mut session = session();
        let (command, line) = session.begin("a", None).unwrap();
        feed(&mut session, &text.replace("ID", &id_of(&line)));
        let came = session.advance(&Want::Reply(&command)).unwrap().unwrap();
        assert_eq!(came.payload(), Some("{}"), "{text}");
    }
}

/// To what it cannot parse QEMU answers without an id.
#[test]
fn what_qemus_parser_refuses_is_not_sent() {
    let deep = |depth: usize| format!("{{\"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let many = |count: usize| format!("{{\"x\": [0{}]}}", ",0".repeat(count));
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(64 << 20));
    for bad in [
        &deep(1023),
        &deep(1_000_000),
        &many(1_200_000),
        &large,
        r#"{"x": "\ud800"}"#,
        r#"{"\ude00x": 1}"#,
        r#"{"x": "\uffff"}"#,
        "{\"x\": \"\u{fdd0}\"}",
        r#"{"a": 1, "\u0061": 2}"#,
        r#"{"x": 1e999}"#,
        r#"{"x": NaN}"#,
        "{",
        "",
    ] {
        let mut session = session();
        let shown = &bad[..bad.len().min(40)];
        assert!(session.begin("a", Some(bad)).is_err(), "{shown}");
        let whole = format!("{{\"execute\": \"a\", \"arguments\": {bad}}}");
        assert!(session.adopt(&whole).is_err(), "{shown}");
        let (_, line) = session.begin("a", None).unwrap();
        assert_eq!(id_of(&line).len(), 6, "the first that was sent");
    }
    for good in [
        deep(1022).as_str(),
        &many(1_000_000),
        r#"{"x": {"a": 1}, "a": [{"a": 1}, {"a": 1, "b": "a"}], "b": "\u0000\ud83d\ude00"}"#,
    ] {
        let shown = &good[..good.len().min(40)];
        assert!(session().begin("a", Some(good)).is_ok(), "{shown}");
    }
}

/// A hundred commands later the digits come again.
#[test]
fn an_id_that_waits_is_not_given_again() {
    let mut session = session();
    let mut waiting = Vec::new();
    for number in 0..1000 {
        let (command, line) = session.begin("a", None).unwrap();
        let id = id_of(&line);
        assert!(waiting.iter().all(|(_, other)| *other != id), "{id}");
        assert!(id.len() <= 2 || number == 0, "{id}");
        waiting.push((command, id));
        if waiting.len() > 50 {
            let (command, id) = waiting.remove(0);
            feed(
                &mut session,
                &reply(&format!("\"return\": {id}"), Some(&id)),
            );
            let came = session.advance(&Want::Reply(&command)).unwrap().unwrap();
            assert_eq!(came.payload(), Some(id.as_str()));
        }
    }
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
    // Before the first reply it is an earlier client's: QEMU answers in order.
    feed(&mut session, r#"{"return": 3, "id": {"mine": 1}}"#);
    feed(&mut session, &format!("{{\"return\": 1, \"id\": {first}}}"));
    feed(&mut session, r#"{"return": 2, "id": {"mine": 1}}"#);
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
    assert!(second.unattributed().is_some());
    feed(&mut second, r#"{"return": {}}"#);
    assert!(second.advance(&Want::Greeting).is_err());
    let mut third = session();
    feed(&mut third, r#"{"hello": "world"}"#);
    assert!(third.advance(&Want::Greeting).is_err());
}
