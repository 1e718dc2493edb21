//! A list that Python gave, of a length that can be meant.

use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// More than a node has guests, or a process descriptors.
const MOST: usize = 1 << 20;

/// A sequence's items. Room is made for as many as it says, and for want of that the process would
/// be aborted: `range(10**12)` says a lot.
pub(super) struct Listed<T>(pub(super) Vec<T>);

impl<'py, T> FromPyObject<'_, 'py> for Listed<T>
where
    T: FromPyObjectOwned<'py>,
{
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match given.len() {
            Ok(length) if length > MOST => {
                let why = format!("{length} items are too many: {MOST} are the most");
                return Err(PyValueError::new_err(why));
            }
            // it has no length, and Vec says what is wrong with that
            Err(error) if !error.is_instance_of::<PyTypeError>(given.py()) => return Err(error),
            _ => {}
        }
        given.extract().map(Self)
    }
}
