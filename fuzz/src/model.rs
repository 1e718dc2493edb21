//! A model of QEMU's monitor and of the clients that it serves one after the other.
//!
//! It carries out one command after the other, and forgets those that wait when their client
//! leaves; but what it has begun is answered to whoever comes next, before the greeting or after.
//! Each reply says which client's which command it answers: so whoever gets it can tell.

use std::collections::VecDeque;

use ganeti_hv_kvm::qmp::message::Message;
use ganeti_hv_kvm::qmp::session::{PendingCommand, Session, Want};
use serde_json::Value;

const GREETING: &str =
    r#"{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}"#;
/// Within it no short id comes twice: a reply that comes twice is for nobody then.
const MOST_COMMANDS: usize = 80;
const EVENTS: [&str; 1] = ["E"];

/// A command that the monitor has got.
#[derive(Clone)]
struct Received {
    client: usize,
    number: usize,
    /// As JSON text; None of a client without ids.
    id: Option<String>,
    negotiates: bool,
}

/// A command that the session has sent and whose reply was not taken.
struct Sent {
    number: usize,
    /// None: it is taken as the oldest.
    pending: Option<PendingCommand>,
}

/// Both sides and the stream between them.
pub struct Model<'a> {
    choices: &'a [u8],
    client: usize,
    session: Session,
    greeted: bool,
    asked: usize,
    sent: Vec<Sent>,
    events: usize,
    received: VecDeque<Received>,
    in_command_mode: bool,
    answered: bool,
    last_reply: Option<String>,
    stream: VecDeque<u8>,
}

impl<'a> Model<'a> {
    /// Everything that happens is chosen by `choices`.
    pub fn new(choices: &'a [u8]) -> Self {
        let mut model = Self {
            choices,
            client: 0,
            session: Session::new(1 << 20),
            greeted: false,
            asked: 0,
            sent: Vec::new(),
            events: 0,
            received: VecDeque::new(),
            in_command_mode: false,
            answered: false,
            last_reply: None,
            stream: VecDeque::new(),
        };
        model.connect(None);
        model
    }

    fn choose(&mut self, count: u8) -> u8 {
        let Some((first, rest)) = self.choices.split_first() else {
            return 0;
        };
        self.choices = rest;
        first % count
    }

    fn says(&mut self, line: &str) {
        let blanks = ["", "", " ", "\r\n"];
        let before = blanks.get(usize::from(self.choose(4))).copied();
        self.stream.extend(before.unwrap_or_default().bytes());
        self.stream.extend(line.bytes());
        self.stream.extend(b"\r\n");
    }

    /// A new client; `left` is what the last one's command brings.
    fn connect(&mut self, left: Option<&str>) {
        self.client += 1;
        self.session = Session::new(1 << 20);
        (self.greeted, self.answered, self.in_command_mode) = (false, false, false);
        (self.asked, self.events, self.last_reply) = (0, 0, None);
        self.sent.clear();
        self.stream.clear();
        let before = self.choose(2) == 0;
        if let Some(left) = left.filter(|_| before) {
            self.says(left);
        }
        self.says(GREETING);
        if let Some(left) = left.filter(|_| !before) {
            self.says(left);
        }
        if self.choose(2) == 0 {
            self.negotiate();
        }
    }

    fn negotiate(&mut self) {
        let (_, line) = self.session.negotiate();
        self.receive(&line, None, true);
    }

    fn receive(&mut self, line: &[u8], number: Option<usize>, negotiates: bool) {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let id = value["id"].to_string();
        // as QEMU writes it
        let id = id.strip_suffix(".0").unwrap_or(&id).to_owned();
        self.received.push_back(Received {
            client: self.client,
            number: number.unwrap_or_default(),
            id: Some(id),
            negotiates,
        });
    }

    /// One thing happens; false when there are no more choices.
    pub fn step(&mut self) -> bool {
        match self.choose(12) {
            0 | 1 => self.send(),
            2 | 3 => self.answer(),
            4 => self.tell_an_event(),
            5 | 6 => self.deliver(),
            7 => self.take_one(),
            8 => drop(self.take_oldest()),
            9 => self.leave(),
            10 => self.say_again_or_swap(),
            _ => self.look(),
        }
        !self.choices.is_empty()
    }

    fn has_negotiated(&self) -> bool {
        self.asked > 0 || self.answered || self.received.iter().any(|it| it.negotiates)
    }

    fn send(&mut self) {
        if !self.has_negotiated() {
            if self.greeted {
                self.negotiate();
            }
            return;
        }
        if self.asked >= MOST_COMMANDS {
            return;
        }
        self.asked += 1;
        let number = self.asked;
        let (pending, line) = match self.choose(4) {
            0 => (
                None,
                self.adopt(&format!(r#"{{"execute": "x", "id": {number}000.0}}"#)),
            ),
            1 => (None, self.adopt(r#"{"id": null, "execute": "x"}"#)),
            _ => match self.session.begin("x", Some(r#"{"y": [1]}"#)) {
                Ok((pending, line)) => (Some(pending), line),
                Err(bad) => panic!("{bad}"),
            },
        };
        self.receive(&line, Some(number), false);
        self.sent.push(Sent { number, pending });
    }

    fn adopt(&mut self, text: &str) -> Vec<u8> {
        self.session
            .adopt(text)
            .unwrap_or_else(|bad| panic!("{bad}"))
    }

    fn reply(&mut self, command: &Received) -> String {
        let refused = command.negotiates && self.in_command_mode;
        let (client, number) = (command.client, command.number);
        let body = if refused || (!command.negotiates && self.choose(4) == 0) {
            format!(r#""error": {{"class": "CommandNotFound", "desc": "[{client},{number}]"}}"#)
        } else {
            format!(r#""return": [{client},{number}]"#)
        };
        let Some(id) = &command.id else {
            return format!("{{{body}}}");
        };
        match self.choose(4) {
            0 => format!(r#"{{"id": {id}, {body}}}"#),
            1 => format!(r#"{{{body}, "id": {id}, "warnings": [{{"id": 1}}]}}"#),
            _ => format!(r#"{{{body}, "id": {id}}}"#),
        }
    }

    fn answer(&mut self) {
        let Some(command) = self.received.pop_front() else {
            return;
        };
        let reply = self.reply(&command);
        self.in_command_mode |= command.negotiates;
        self.says(&reply);
        self.answered = true;
        self.last_reply = Some(reply);
    }

    fn tell_an_event(&mut self) {
        self.events += 1;
        self.says(r#"{"event": "E", "timestamp": {"seconds": 1, "microseconds": 2}}"#);
    }

    fn deliver(&mut self) {
        let count = usize::from(self.choose(255)).min(self.stream.len());
        let bytes: Vec<u8> = self.stream.drain(..count).collect();
        self.session.feed(&bytes);
    }

    fn look(&mut self) {
        if !self.greeted {
            self.greeted = self.advance(&Want::Greeting).is_some();
        } else if let Err(bad) = self.session.sort() {
            panic!("{bad}");
        }
    }

    fn advance(&mut self, want: &Want<'_>) -> Option<Message> {
        self.session
            .advance(want)
            .unwrap_or_else(|bad| panic!("{bad}"))
    }

    fn take_one(&mut self) {
        let place = usize::from(self.choose(255));
        let count = self.sent.len();
        if !self.greeted || count == 0 {
            return;
        }
        self.take(place % count);
    }

    fn take(&mut self, place: usize) -> bool {
        let Some(pending) = self.sent[place].pending.clone() else {
            return false;
        };
        let Some(reply) = self.advance(&Want::Reply(&pending)) else {
            return false;
        };
        self.check(place, &reply);
        true
    }

    fn take_oldest(&mut self) -> bool {
        if !self.greeted || self.sent.is_empty() {
            return false;
        }
        let Some(reply) = self.advance(&Want::OldestReply) else {
            return false;
        };
        assert!(
            !self.sent.is_empty(),
            "a reply to nothing: {}",
            reply.text()
        );
        self.check(0, &reply);
        true
    }

    /// The reply is for this command, which waits no more.
    fn check(&mut self, place: usize, reply: &Message) {
        let sent = self.sent.remove(place);
        let expected = format!("[{},{}]", self.client, sent.number);
        let says = reply
            .refusal()
            .map_or(reply.payload(), |(_, desc)| Some(desc));
        assert_eq!(says, Some(expected.as_str()), "{}", reply.text());
    }

    /// The client goes; what QEMU had begun is answered to the next one.
    fn leave(&mut self) {
        let begun = self.received.pop_front();
        self.received.clear();
        let left = begun.filter(|_| self.choose(4) > 0).map(|mut command| {
            if self.choose(4) == 0 {
                command.id = None;
            }
            let carried_out = command.negotiates;
            (self.reply(&command), carried_out)
        });
        let (left, carried_out) = left.unzip();
        self.connect(left.as_deref());
        self.in_command_mode = carried_out.unwrap_or_default() && self.choose(2) == 0;
    }

    /// A reply that comes twice, or two that change places: only after the first one.
    fn say_again_or_swap(&mut self) {
        if !self.in_command_mode || !self.answered {
            return;
        }
        if self.choose(2) == 0 {
            if let Some(again) = self.last_reply.clone() {
                self.says(&again);
            }
        } else if self.received.len() > 1 {
            self.received.swap(0, 1);
        }
    }

    /// All that was sent is answered, and delivered: everybody has his own.
    pub fn finish(&mut self) {
        if !self.has_negotiated() {
            self.negotiate();
        }
        while !self.received.is_empty() {
            self.answer();
        }
        let bytes: Vec<u8> = self.stream.drain(..).collect();
        self.session.feed(&bytes);
        if !self.greeted {
            self.look();
        }
        assert!(self.greeted);
        while let Some(place) = self.sent.iter().rposition(|sent| sent.pending.is_some()) {
            assert!(self.take(place), "lost: {}", self.sent[place].number);
        }
        while !self.sent.is_empty() {
            assert!(self.take_oldest(), "lost: {}", self.sent[0].number);
        }
        self.look();
        assert!(self.session.is_negotiated());
        let names = EVENTS.map(str::to_owned);
        for _ in 0..self.events.min(1024) {
            let want = Want::Event {
                names: Some(&names),
                device: None,
            };
            assert!(self.advance(&want).is_some(), "a lost event");
        }
    }
}
