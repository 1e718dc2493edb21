//! JSON text to Python objects, with nothing in between.

use std::cell::{Cell, RefCell};
use std::fmt;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::qmp::message::MAX_DEPTH;

/// Why a text was not read.
pub(super) enum Stop {
    /// It is no JSON, or holds what Python's own reader knows better: an integer of more than 64
    /// bits, half of a surrogate pair.
    NotMine,
    /// Lists and objects lie too deep in each other.
    TooDeep,
    /// There are too many values.
    TooMany,
    /// An object could not be made.
    Python(Box<PyErr>),
}

/// How many values may be made, of one text or of several.
pub(crate) struct Bounds {
    most: usize,
    left: Cell<usize>,
}

impl Bounds {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            left: Cell::new(most),
        }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(crate) fn left(&self) -> usize {
        self.left.get()
    }
}

/// Reads a whole text.
pub(super) fn read<'py>(
    py: Python<'py>,
    text: &str,
    bounds: &Bounds,
) -> Result<Bound<'py, PyAny>, Stop> {
    let reading = Reading {
        py,
        names: known_names(py),
        bounds,
        stop: RefCell::new(Stop::NotMine),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Value {
        reading: &reading,
        depth: 0,
    };
    match value.deserialize(&mut json) {
        Ok(value) if json.end().is_ok() => Ok(value),
        _ => Err(reading.stop.into_inner()),
    }
}

struct Reading<'py, 'a> {
    py: Python<'py>,
    names: &'a Names,
    bounds: &'a Bounds,
    /// Says why, when the deserializer gave an error.
    stop: RefCell<Stop>,
}

impl Reading<'_, '_> {
    #[cold]
    fn stop<E: Error>(&self, why: Stop) -> E {
        self.stop.replace(why);
        E::custom("")
    }

    #[inline]
    fn made<T, E: Error>(&self, made: PyResult<T>) -> Result<T, E> {
        made.map_err(|error| self.stop(Stop::Python(Box::new(error))))
    }
}

/// Makes one value, whatever it is.
#[derive(Clone, Copy)]
struct Value<'py, 'a> {
    reading: &'a Reading<'py, 'a>,
    depth: usize,
}

impl Value<'_, '_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.reading.stop(Stop::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'py, '_> {
    type Value = Bound<'py, PyAny>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let left = &self.reading.bounds.left;
        match left.get().checked_sub(1) {
            Some(fewer) => left.set(fewer),
            None => return Err(self.reading.stop(Stop::TooMany)),
        }
        from.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Value<'py, '_> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.reading.py.None().into_bound(self.reading.py))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.reading.py, value).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.reading.py);
        Ok(value.into_any())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.reading.py);
        Ok(value.into_any())
    }

    /// Zero may have been `-0`, and what is beyond 64 bits an integer: Python's reader knows.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if value == 0.0 || value.abs() >= 9.2e18 {
            return Err(self.reading.stop(Stop::NotMine));
        }
        Ok(PyFloat::new(self.reading.py, value).into_any())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.reading.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let inner = self.deeper()?;
        let list = PyList::empty(self.reading.py);
        while let Some(item) = from.next_element_seed(inner)? {
            self.reading.made(list.append(item))?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let inner = self.deeper()?;
        let dict = PyDict::new(self.reading.py);
        while let Some(name) = from.next_key_seed(Name(self.reading))? {
            let value = from.next_value_seed(inner)?;
            self.reading.made(dict.set_item(name, value))?;
        }
        Ok(dict.into_any())
    }
}

/// Makes a member's name.
struct Name<'py, 'a>(&'a Reading<'py, 'a>);

impl<'de, 'py> DeserializeSeed<'de> for Name<'py, '_> {
    type Value = Bound<'py, PyString>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Name<'py, '_> {
    type Value = Bound<'py, PyString>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let known = self.0.names.get(self.0.py, name);
        Ok(known.unwrap_or_else(|| PyString::new(self.0.py, name)))
    }
}

/// Names that QEMU's replies repeat: made once, with their hash, when the module is imported.
pub(crate) struct Names(Vec<Option<(&'static str, Py<PyString>)>>);

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

pub(crate) fn known_names(py: Python<'_>) -> &Names {
    NAMES.get_or_init(py, || {
        let mut slots: Vec<Option<(&'static str, Py<PyString>)>> = Vec::new();
        slots.resize_with(SLOTS, || None);
        for name in KNOWN {
            if let Some(slot) = slots.get_mut(slot_of(name)) {
                *slot = Some((name, PyString::intern(py, name).unbind()));
            }
        }
        Names(slots)
    })
}

impl Names {
    #[inline]
    fn get<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyString>> {
        match self.0.get(slot_of(name)) {
            Some(Some((known, string))) if *known == name => Some(string.bind(py).clone()),
            _ => None,
        }
    }
}

const SLOTS: usize = 1024;

#[inline]
fn slot_of(name: &str) -> usize {
    let bytes = name.as_bytes();
    let byte = |place: usize| usize::from(bytes.get(place).copied().unwrap_or_default());
    let ends = byte(0) ^ (byte(bytes.len().wrapping_sub(1)) << 3) ^ (byte(bytes.len() / 2) << 1);
    (ends ^ (bytes.len() << 5)) % SLOTS
}

/// Where two of them want one slot, the later one has it.
const KNOWN: [&str; 85] = [
    "QMP",
    "version",
    "qemu",
    "major",
    "minor",
    "micro",
    "package",
    "capabilities",
    "error",
    "class",
    "desc",
    "event",
    "timestamp",
    "seconds",
    "microseconds",
    "data",
    "id",
    "return",
    "name",
    "status",
    "running",
    "singlestep",
    "actual",
    "cpu-index",
    "qom-path",
    "thread-id",
    "target",
    "props",
    "core-id",
    "socket-id",
    "node-id",
    "die-id",
    "cluster-id",
    "device",
    "path",
    "type",
    "default",
    "default-value",
    "description",
    "inserted",
    "drv",
    "file",
    "node-name",
    "image",
    "virtual-size",
    "actual-size",
    "filename",
    "format",
    "ro",
    "encrypted",
    "backing_file_depth",
    "io-status",
    "locked",
    "removable",
    "tray_open",
    "qdev",
    "bus",
    "slot",
    "function",
    "devices",
    "regions",
    "address",
    "size",
    "bar",
    "memory",
    "io",
    "vendor",
    "irq",
    "irq_pin",
    "class_info",
    "qdev_id",
    "members",
    "variants",
    "meta-type",
    "arg-type",
    "ret-type",
    "allow-oob",
    "values",
    "features",
    "tag",
    "case",
    "element-type",
    "ram",
    "remaining",
    "total",
];
