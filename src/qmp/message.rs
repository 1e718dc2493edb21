//! What comes over the wire: greeting, reply, event.
//!
//! A message keeps its text; `return` and `data` stay text until somebody wants them, so that
//! large ones are parsed once, straight into what the caller uses.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Lists and objects of a value may lie this deep in each other: who reads it recurses.
pub const MAX_DEPTH: usize = 100;

/// How many values a message of at most `limit` bytes may hold: each becomes an object of some 64
/// bytes. QEMU's own have one for ten bytes or more.
#[must_use]
pub fn max_values(limit: usize) -> usize {
    (limit / 16).max(1 << 16)
}

/// A line is no QMP message. The text never repeats the line: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMessage(pub String);

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadMessage {}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    text: String,
    /// What it is.
    pub kind: Kind,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The first thing that QEMU says.
    Greeting(Greeting),
    /// The answer to a command.
    Reply {
        /// The command's id, as JSON text.
        id: Option<String>,
        /// What it says.
        body: Body,
    },
    /// Something happened in QEMU.
    Event(Event),
    /// Nothing that the protocol knows.
    Other,
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Done; where the value lies in the text.
    Return(Range<usize>),
    /// Refused.
    Error {
        /// QEMU's error class.
        class: String,
        /// QEMU's words.
        desc: String,
    },
}

/// Who greets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Greeting {
    /// QEMU's version: major, minor, micro.
    pub version: (i64, i64, i64),
    /// The distributor's package, without white space around it; often empty.
    pub package: String,
}

/// Something happened in QEMU; an unknown event stays data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name, such as `DEVICE_DELETED`.
    pub name: String,
    /// When, by QEMU's clock; -1 where it could not tell.
    pub seconds: i64,
    /// The microseconds of that second.
    pub microseconds: i64,
    data: Option<Range<usize>>,
    /// What names its object: `device`, `id`, `qom-path`, `path` of its data.
    subjects: Vec<String>,
}

impl Event {
    /// Whether it is about `device`: by the device's id, or by its path in QEMU's object tree.
    #[must_use]
    pub fn is_about(&self, device: &str) -> bool {
        self.subjects.iter().any(|subject| {
            subject == device || subject.strip_prefix("/machine/peripheral/") == Some(device)
        })
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "QMP", borrow, default)]
    greeting: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "return", deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// A `null` that was sent is a value all the same.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct Subjects {
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "qom-path")]
    qom_path: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
struct Timestamp {
    seconds: i64,
    microseconds: i64,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    class: String,
    #[serde(default)]
    desc: String,
}

#[derive(Deserialize)]
struct Qemu {
    major: i64,
    minor: i64,
    micro: i64,
}

#[derive(Deserialize)]
struct Version {
    qemu: Qemu,
    #[serde(default)]
    package: String,
}

#[derive(Deserialize)]
struct Hello {
    version: Version,
}

impl Message {
    /// Takes one line apart.
    ///
    /// # Errors
    /// [`BadMessage`] if it is no JSON object, or contradicts the protocol.
    pub fn parse(text: String) -> Result<Self, BadMessage> {
        if !text.starts_with('{') {
            return Err(BadMessage("a message that is no JSON object".to_owned()));
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(&text).map_err(|error| explain(&error, "a message"))?;
        let kind = classify(&envelope, &text)?;
        Ok(Self { text, kind })
    }

    /// The whole message, as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The class and the words of an error reply.
    #[must_use]
    pub fn refusal(&self) -> Option<(&str, &str)> {
        match &self.kind {
            Kind::Reply {
                body: Body::Error { class, desc },
                ..
            } => Some((class, desc)),
            _ => None,
        }
    }

    /// Whether QEMU says that it does not have the command, or not now.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.refusal()
            .is_some_and(|(class, _)| class == "CommandNotFound")
    }

    /// The JSON text of a reply's value, or of an event's data.
    #[must_use]
    pub fn payload(&self) -> Option<&str> {
        let range = match &self.kind {
            Kind::Reply {
                body: Body::Return(range),
                ..
            } => range,
            Kind::Event(event) => event.data.as_ref()?,
            _ => return None,
        };
        self.text.get(range.clone())
    }
}

fn classify(envelope: &Envelope<'_>, text: &str) -> Result<Kind, BadMessage> {
    if let Some(raw) = envelope.error {
        let refusal: Refusal = read(raw, "an error reply")?;
        return Ok(Kind::Reply {
            id: envelope.id.map(|id| id.get().to_owned()),
            body: Body::Error {
                class: refusal.class,
                desc: refusal.desc,
            },
        });
    }
    if let Some(raw) = envelope.event {
        return event(envelope, raw, text).map(Kind::Event);
    }
    if let Some(raw) = envelope.value {
        return Ok(Kind::Reply {
            id: envelope.id.map(|id| id.get().to_owned()),
            body: Body::Return(place(raw, text)),
        });
    }
    let Some(raw) = envelope.greeting else {
        return Ok(Kind::Other);
    };
    let hello: Hello = read(raw, "a greeting")?;
    let qemu = hello.version.qemu;
    Ok(Kind::Greeting(Greeting {
        version: (qemu.major, qemu.minor, qemu.micro),
        package: hello.version.package.trim().to_owned(),
    }))
}

fn event(envelope: &Envelope<'_>, raw: &RawValue, text: &str) -> Result<Event, BadMessage> {
    let name: String = read(raw, "an event")?;
    let stamp = match envelope.timestamp {
        Some(raw) => read(raw, "an event's timestamp")?,
        None => Timestamp {
            seconds: -1,
            microseconds: -1,
        },
    };
    // Data of another shape than QEMU's is still data; it only names no device.
    let subjects = envelope
        .data
        .and_then(|raw| serde_json::from_str::<Subjects>(raw.get()).ok())
        .map(|data| [data.device, data.id, data.qom_path, data.path]);
    Ok(Event {
        name,
        seconds: stamp.seconds,
        microseconds: stamp.microseconds,
        data: envelope.data.map(|raw| place(raw, text)),
        subjects: subjects.into_iter().flatten().flatten().collect(),
    })
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, what: &str) -> Result<T, BadMessage> {
    serde_json::from_str(raw.get()).map_err(|error| explain(&error, what))
}

/// Where a value, borrowed from `text`, lies in it.
pub(super) fn place(raw: &RawValue, text: &str) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + raw.get().len()
}

/// Says what is wrong, and where, without a byte of the message: serde's own text quotes it.
pub(super) fn explain(error: &serde_json::Error, what: &str) -> BadMessage {
    let why = match error.classify() {
        serde_json::error::Category::Data => "is not of the expected form",
        serde_json::error::Category::Eof => "is JSON that ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "is not JSON",
    };
    BadMessage(format!("{what} that {why} (column {})", error.column()))
}
