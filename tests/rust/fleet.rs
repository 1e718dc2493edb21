//! Many monitors asked at once: those that misbehave cost one deadline, and nobody else anything.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ganeti_hv_kvm::qmp::codec::DEFAULT_LIMIT;
use ganeti_hv_kvm::qmp::fleet::{Answer, Guest, Question, Verdict, query, query_and_find};
use ganeti_hv_kvm::qmp::{Deadline, ErrorKind, Wait};
use support::{AMPLE, Button, GREETING, Monitor, Peer, SHORT, guests, within};

fn questions(commands: &[&str]) -> Vec<Question> {
    let question = |command: &&str| Question {
        command: (*command).to_owned(),
        arguments: None,
    };
    commands.iter().map(question).collect()
}

fn ask(monitors: &[&Monitor], commands: &[&str], millis: u64) -> Vec<Answer> {
    query(
        &guests(monitors.iter().copied()),
        &questions(commands),
        DEFAULT_LIMIT,
        &within(millis),
    )
    .unwrap()
}

fn ask_one(script: impl FnMut(&mut Peer) + Send + 'static, commands: &[&str]) -> Answer {
    let monitor = Monitor::run(script);
    ask(&[&monitor], commands, AMPLE).pop().unwrap()
}

fn good() -> Monitor {
    Monitor::run(|peer| {
        peer.shake_hands();
        while peer.answer("{\"status\": \"running\"}").is_some() {}
    })
}

fn values(answer: &Answer) -> Vec<&str> {
    let replies = answer.replies.iter();
    replies
        .map(|reply| reply.as_ref().unwrap().payload().unwrap())
        .collect()
}

fn reason(answer: &Answer) -> String {
    answer.error.as_ref().unwrap().to_string()
}

#[test]
fn nobody_to_ask_is_no_work() {
    assert!(ask(&[], &["query-status"], SHORT).is_empty());
}

#[test]
fn answers_come_in_the_order_of_guests_and_commands() {
    let monitors: Vec<Monitor> = (0..20)
        .map(|number| {
            Monitor::run(move |peer| {
                peer.shake_hands();
                for command in ["a", "b", "c"] {
                    // The first guests are the last to answer.
                    thread::sleep(Duration::from_millis(20 - number));
                    peer.say("{\"event\": \"E\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\n");
                    assert_eq!(peer.answer(&number.to_string()).unwrap()["execute"], command);
                }
                peer.stay();
            })
        })
        .collect();
    let monitors: Vec<&Monitor> = monitors.iter().collect();
    let answers = ask(&monitors, &["a", "b", "c"], AMPLE);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.verdict, Verdict::Answered);
        assert_eq!(values(answer), [number.to_string().as_str(); 3]);
        assert!(answer.error.is_none());
    }
}

/// What has come before the greeting, and shortly after it.
fn sent_around_the_greeting(commands: &[&str]) -> (String, String) {
    let (tell, told) = mpsc::channel();
    let answer = ask_one(
        move |peer| {
            thread::sleep(Duration::from_millis(50));
            let early = peer.pending();
            peer.say(GREETING);
            thread::sleep(Duration::from_millis(50));
            tell.send((early, peer.pending())).unwrap();
            while peer.answer("{}").is_some() {}
        },
        commands,
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    told.recv().unwrap()
}

#[test]
fn queries_are_sent_at_once() {
    let (early, late) = sent_around_the_greeting(&["query-status", "query-balloon"]);
    assert_eq!(early.lines().count(), 3, "{early}");
    assert_eq!(late, early);
}

/// A monitor that serves somebody else would carry out later what it was sent now.
#[test]
fn a_command_that_changes_something_waits_for_the_greeting() {
    let (early, late) = sent_around_the_greeting(&["query-status", "stop"]);
    assert_eq!(early, "");
    assert_eq!(late.lines().count(), 3, "{late}");
}

#[test]
fn a_refusal_is_one_commands_matter_and_hides_secrets() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.answer("1");
        let id = peer.hear().unwrap()["id"].clone();
        let error = r#"{"class": "GenericError", "desc": "hunter2 is weak"}"#;
        peer.say(&format!("{{\"error\": {error}, \"id\": {id}}}\n"));
        peer.answer("3");
        peer.stay();
    });
    let mut questions = questions(&["a", "set_password", "c"]);
    questions[1].arguments = Some("{\"password\":\"hunter2\"}".to_owned());
    let guest = Guest {
        path: monitor.path(),
        pid: None,
    };
    let answer = query(&[guest], &questions, DEFAULT_LIMIT, &within(AMPLE))
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(answer.verdict, Verdict::Answered);
    let refusal = answer.replies[1].as_ref().unwrap_err();
    assert!(matches!(&refusal.kind, ErrorKind::Refused { desc, .. } if desc == "*** is weak"));
    assert_eq!(answer.replies[2].as_ref().unwrap().payload().unwrap(), "3");
}

/// QEMU gives the reply to a slow command to whoever is connected when it is ready.
#[test]
fn a_reply_to_an_earlier_client_is_not_taken_for_ours() {
    let answer = ask_one(
        |peer| {
            peer.say(GREETING);
            peer.say("{\"return\": \"stale\", \"id\": \"other\"}\n");
            peer.answer("{}");
            peer.say("{\"return\": \"stale\", \"id\": \"another\"}\n");
            while peer.answer("\"ours\"").is_some() {}
        },
        &["query-status"],
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    assert_eq!(values(&answer), ["\"ours\""]);
}

#[test]
fn nor_is_one_without_an_id() {
    let answer = ask_one(
        |peer| {
            peer.say(GREETING);
            peer.say("{\"return\": \"stale\"}\n");
            peer.answer("{}");
            while peer.answer("\"ours\"").is_some() {}
        },
        &["query-status"],
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    assert_eq!(values(&answer), ["\"ours\""]);
}

/// Fault: each guest that hung cost a listing its whole deadline, one after the other.
#[test]
fn many_that_hang_cost_one_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let deaf: Vec<UnixListener> = (0..5)
        .map(|number| UnixListener::bind(folder.path().join(number.to_string())).unwrap())
        .collect();
    let mute: Vec<Monitor> = (0..5)
        .map(|_| {
            Monitor::run(|peer| {
                peer.say(GREETING);
                peer.stay();
            })
        })
        .collect();
    let good = good();
    let deaf = deaf.iter().map(|listener| {
        let address = listener.local_addr().unwrap();
        address.as_pathname().unwrap().to_owned()
    });
    let paths = mute.iter().map(Monitor::path);
    let paths = paths.chain([good.path()]).chain(deaf);
    let guests: Vec<Guest> = paths.map(|path| Guest { path, pid: None }).collect();
    let limit = Duration::from_millis(500);
    let start = Instant::now();
    let questions = questions(&["query-status"]);
    let answers = query(&guests, &questions, DEFAULT_LIMIT, &within(500)).unwrap();
    let took = start.elapsed();
    assert!(took >= limit && took < limit * 3, "{took:?}");
    for (number, answer) in answers.iter().enumerate() {
        let expected = if number == 5 {
            Verdict::Answered
        } else {
            Verdict::Silent
        };
        assert_eq!(answer.verdict, expected, "{number}");
    }
    assert!(reason(&answers[0]).contains("executing qmp_capabilities"));
    assert!(reason(&answers[6]).contains("waiting for its greeting"));
}

#[test]
fn events_do_not_move_the_deadline_and_what_was_answered_is_kept() {
    let chatty = Monitor::run(|peer| {
        peer.shake_hands();
        peer.answer("1");
        while peer.say("{\"event\": \"E\"}\n") {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let start = Instant::now();
    let answers = ask(&[&chatty], &["a", "b"], SHORT);
    assert!(start.elapsed() < Duration::from_millis(SHORT) * 5);
    assert_eq!(answers[0].verdict, Verdict::Silent);
    assert_eq!(values(&answers[0]), ["1"]);
    assert!(reason(&answers[0]).contains("executing b"));
}

#[test]
fn a_flood_keeps_nobody_else_waiting() {
    let flood = Monitor::run(|peer| while peer.say(GREETING) {});
    let good = good();
    let answers = ask(&[&flood, &good], &["query-status"], 1000);
    assert_eq!(answers[0].verdict, Verdict::Silent);
    assert_eq!(answers[1].verdict, Verdict::Answered);
}

#[test]
fn processes_are_found_while_the_guests_answer() {
    let (ask, asked) = mpsc::channel();
    let first = Monitor::run(move |peer| {
        peer.say(GREETING);
        peer.answer("{}");
        ask.send(()).unwrap();
        while peer.answer("1").is_some() {}
    });
    let silent = Monitor::run(Peer::stay);
    let guests = [&first, &silent].map(|monitor| Guest {
        path: monitor.path(),
        pid: None,
    });
    let own = i32::try_from(std::process::id()).unwrap();
    let answers = query_and_find(
        &guests,
        &questions(&["query-status"]),
        DEFAULT_LIMIT,
        &within(AMPLE),
        || {
            asked.recv().unwrap();
            Ok(vec![Some(own), None])
        },
    )
    .unwrap();
    assert_eq!(answers[0].verdict, Verdict::Answered);
    assert_eq!(answers[1].verdict, Verdict::Gone);
    assert!(reason(&answers[1]).contains("no process"));
}

#[test]
fn a_monitor_that_serves_another_client_is_busy() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.stay();
    });
    let other = monitor.connection();
    other.connect(false, &within(AMPLE)).unwrap();
    let answers = ask(&[&monitor], &["query-status"], SHORT);
    assert_eq!(answers[0].verdict, Verdict::Busy);
    assert!(reason(&answers[0]).contains("another client"));
    other.close();
}

#[test]
fn whoever_is_not_there_is_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let guest = |name| Guest {
        path: folder.path().join(name),
        pid: None,
    };
    drop(UnixListener::bind(guest("dead").path).unwrap());
    let start = Instant::now();
    let guests = [guest("dead"), guest("missing"), guest("")];
    let answers = query(&guests, &questions(&["a"]), DEFAULT_LIMIT, &within(AMPLE)).unwrap();
    assert!(start.elapsed() < Duration::from_millis(AMPLE) / 2);
    assert_eq!(answers[0].verdict, Verdict::Gone);
    assert_eq!(answers[1].verdict, Verdict::Gone);
    assert_eq!(answers[2].verdict, Verdict::Gone);
    assert!(reason(&answers[1]).contains("missing"));
}

#[test]
fn what_is_no_qmp_is_broken() {
    for text in [
        "",
        "hello\n",
        "[]\n",
        "{\"return\": {}}\n",
        "{\"QMP\": 1}\n",
        "{\"QMP\": ",
    ] {
        let answer = ask_one(
            move |peer| {
                peer.say(text);
            },
            &["query-status"],
        );
        assert_eq!(answer.verdict, Verdict::Broken, "{text:?}");
        assert!(answer.replies.is_empty());
    }
    for text in ["", "\u{fffd}\n", "{}\n", "{\"return\": }\n"] {
        let answer = ask_one(
            move |peer| {
                peer.shake_hands();
                peer.hear();
                peer.say(text);
            },
            &["query-status"],
        );
        assert_eq!(answer.verdict, Verdict::Broken, "{text:?}");
    }
    let answer = ask_one(
        |peer| {
            peer.say(GREETING);
            peer.hear();
            peer.say("{\"error\": {\"class\": \"X\", \"desc\": \"not today\"}}\n");
        },
        &["query-status"],
    );
    let error = answer.error.unwrap();
    assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
    assert!(error.to_string().contains("not today"), "{error}");
}

/// QEMU gives an earlier client's reply to whoever is connected by then, even before its greeting.
#[test]
fn what_an_earlier_client_left_is_nobodys_answer() {
    let error = "{\"error\": {\"class\": \"X\", \"desc\": \"left\"}}\n";
    let id = "{\"return\": \"left\", \"id\": \"Zk3x\"}\n";
    for left in ["{\"return\": \"left\"}\n", error, id] {
        for before in [true, false] {
            let answer = ask_one(
                move |peer| {
                    if before {
                        peer.say(left);
                    }
                    peer.say(GREETING);
                    if !before {
                        peer.say(left);
                    }
                    peer.answer("{}");
                    peer.say("{\"return\": \"left\"}\n");
                    peer.say("{\"return\": \"left\", \"id\": \"Zk3x\"}\n");
                    peer.answer("1");
                    peer.stay();
                },
                &["query-status"],
            );
            assert_eq!(answer.verdict, Verdict::Answered, "{left:?} {before}");
            let reply = answer.replies[0].as_ref().unwrap();
            assert_eq!(reply.payload(), Some("1"), "{left:?} {before}");
        }
    }
}

#[test]
fn a_message_beyond_the_limit_is_refused() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.answer(&"1".repeat(10_000));
        peer.stay();
    });
    let guest = Guest {
        path: monitor.path(),
        pid: None,
    };
    let answers = query(&[guest], &questions(&["a"]), 5000, &within(AMPLE)).unwrap();
    assert_eq!(answers[0].verdict, Verdict::Broken);
    assert!(reason(&answers[0]).contains("more than 5000 bytes"));
}

#[test]
fn commands_and_replies_of_any_size_pass() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        thread::sleep(Duration::from_millis(20));
        let command = peer.hear().unwrap();
        let size = command["arguments"]["x"].as_str().unwrap().len();
        let (value, id) = ("y".repeat(size), &command["id"]);
        peer.say(&format!("{{\"return\": \"{value}\", \"id\": {id}}}\n"));
        peer.stay();
    });
    let guest = Guest {
        path: monitor.path(),
        pid: None,
    };
    let mut questions = questions(&["a"]);
    questions[0].arguments = Some(format!("{{\"x\":\"{}\"}}", "x".repeat(3 << 20)));
    let answers = query(&[guest], &questions, DEFAULT_LIMIT, &within(AMPLE)).unwrap();
    assert_eq!(answers[0].verdict, Verdict::Answered);
    assert_eq!(values(&answers[0])[0].len(), (3 << 20) + 2);
}

#[test]
fn an_interrupt_ends_it() {
    let silent = Monitor::run(Peer::stay);
    let button = Button::default();
    let guest = Guest {
        path: silent.path(),
        pid: None,
    };
    let start = Instant::now();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            button.0.store(true, std::sync::atomic::Ordering::Release);
        });
        let wait = Wait::new(Deadline::after(Duration::from_millis(AMPLE)), &button);
        query(&[guest], &questions(&["a"]), DEFAULT_LIMIT, &wait).unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert!(start.elapsed() < Duration::from_millis(AMPLE) / 2);
}

/// As Ganeti's own stand-in for QEMU does.
#[test]
fn a_peer_that_never_repeats_ids_is_answered_in_order() {
    let answer = ask_one(
        |peer| {
            peer.say(GREETING);
            for value in ["{}", "1", "2"] {
                peer.hear();
                peer.say(&format!("{{\"return\": {value}}}\n"));
            }
            peer.hear();
            peer.say("{\"error\": {\"class\": \"X\", \"desc\": \"no\"}}\n");
            peer.stay();
        },
        &["query-a", "query-b", "query-c"],
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    assert_eq!(answer.replies[0].as_ref().unwrap().payload(), Some("1"));
    assert_eq!(answer.replies[1].as_ref().unwrap().payload(), Some("2"));
    assert!(answer.replies[2].is_err());
}

#[test]
fn each_command_has_an_id_and_replies_may_come_in_any_order() {
    let answer = ask_one(
        |peer| {
            peer.say(GREETING);
            peer.answer("{}");
            let ids: Vec<String> = (0..3)
                .map(|_| peer.hear().unwrap()["id"].to_string())
                .collect();
            for (number, id) in ids.iter().enumerate().rev() {
                peer.say(&format!(
                    "{{\"id\": {id}, \"new\": 1, \"return\": {number}}}\n"
                ));
            }
            peer.stay();
        },
        &["query-a", "query-b", "query-c"],
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    assert_eq!(values(&answer), ["0", "1", "2"]);
}

/// Fault: what a few guests said filled the memory of the whole listing.
/// Fault: whoever answered last was broken, however little it had said.
#[test]
fn who_said_most_pays_for_it_and_nobody_else() {
    let (ready, all_are) = mpsc::channel();
    let mut monitors: Vec<Monitor> = (0..4)
        .map(|_| {
            let ready = ready.clone();
            Monitor::run(move |peer| {
                peer.shake_hands();
                // together with little more it is too much
                peer.answer(&format!("\"{}\"", "x".repeat(DEFAULT_LIMIT - 600)));
                ready.send(()).unwrap();
                peer.stay();
            })
        })
        .collect();
    monitors.push(Monitor::run(move |peer| {
        peer.shake_hands();
        for _ in 0..4 {
            all_are.recv().unwrap();
        }
        peer.answer(&format!("\"{}\"", "y".repeat(3000)));
        peer.stay();
    }));
    let guests = support::guests(&monitors);
    let answers = query(
        &guests,
        &questions(&["query-a"]),
        DEFAULT_LIMIT,
        &within(AMPLE),
    )
    .unwrap();
    assert_eq!(answers[4].verdict, Verdict::Answered);
    let (broken, kept): (Vec<_>, Vec<_>) = answers[..4]
        .iter()
        .partition(|answer| answer.verdict == Verdict::Broken);
    assert_eq!((broken.len(), kept.len()), (1, 3));
    assert!(reason(broken[0]).contains("and this one most"));
    assert!(broken[0].replies.is_empty());
}

#[test]
fn the_answers_of_all_guests_are_bounded_together() {
    let monitors: Vec<Monitor> = (0..5)
        .map(|_| {
            Monitor::run(|peer| {
                peer.shake_hands();
                peer.answer(&format!("\"{}\"", "x".repeat(15 << 20)));
                peer.stay();
            })
        })
        .collect();
    let guests = support::guests(&monitors);
    let questions = questions(&["query-a"]);
    let answers = query(&guests, &questions, DEFAULT_LIMIT, &within(AMPLE)).unwrap();
    let broken = answers
        .iter()
        .filter(|answer| answer.verdict == Verdict::Broken);
    assert_eq!(broken.count(), 1);
}
