//! Values that come again.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::scan::Brief;

/// The short strings of one text, by what they say; where two want one place, the last one has it.
///
/// They are kept no longer than that: one may be a secret.
pub(super) struct Values {
    slots: Vec<Option<(Brief, Py<PyString>)>>,
    bits: u32,
}

const LONG_TEXT: usize = 32 << 10;

impl Values {
    /// For a text of so many bytes: a table of a size that a short one pays for, too.
    pub(super) fn new(size: usize) -> Self {
        let bits = if size > LONG_TEXT { 8 } else { 5 };
        let mut slots = Vec::new();
        slots.resize_with(1 << bits, || None);
        Self { slots, bits }
    }

    /// The string that `brief` stands for, which is `text`.
    #[inline]
    pub(super) fn get<'py>(
        &mut self,
        py: Python<'py>,
        brief: Brief,
        text: &[u8],
    ) -> PyResult<Bound<'py, PyString>> {
        let place = usize::try_from(brief.hash() >> (64 - self.bits)).unwrap_or_default();
        let slot = self.slots.get_mut(place);
        if let Some(Some((known, string))) = &slot
            && *known == brief
        {
            return Ok(string.bind(py).clone());
        }
        let string = PyString::from_bytes(py, text)?;
        if let Some(slot) = slot {
            *slot = Some((brief, string.clone().unbind()));
        }
        Ok(string)
    }
}
