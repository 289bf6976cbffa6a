//! Values that come from Python. Text is well-formed Unicode, and objects have what JSON has, or they are refused.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::{Map, Number, Value};
use trust_engine::{Error, OrganizationId};
use uuid::Uuid;

use crate::error::raise;

/// Deepest object that is read; the engine takes fewer levels, and says so.
const MAX_DEPTH: usize = 64;
/// Most values of an object. One that is there many times is counted as often, as it would be written so often; the engine takes 16 KiB.
const MAX_VALUES: usize = 16 * 1024;

/// From here on a double does not hold every integer, and some readers of JSON lose digits.
const EXACT: u64 = 1 << 53;

pub(crate) type Text<'a, 'py> = &'a Bound<'py, PyString>;

/// A text; half of a surrogate pair is none.
pub(crate) fn text<'a>(field: &'static str, text: Text<'a, '_>) -> PyResult<&'a str> {
    text.to_str().map_err(|_| raise(Error::invalid(field, "has half of a surrogate pair, which is no text")))
}

/// A text that may be left out.
pub(crate) fn optional<'a>(field: &'static str, given: Option<Text<'a, '_>>) -> PyResult<Option<&'a str>> {
    given.map(|given| text(field, given)).transpose()
}

/// The organization of a name, or `default`.
pub(crate) fn organization(name: Option<Text<'_, '_>>) -> PyResult<OrganizationId> {
    match optional("organization", name)? {
        // Hosts write it for all of them.
        Some("*") => Err(raise(Error::invalid("organization", "is '*', which is no organization"))),
        Some(name) => OrganizationId::parse(name).map_err(raise),
        None => Ok(OrganizationId::default()),
    }
}

/// A UUID, as text or as one of Python's.
pub(crate) fn uuid(field: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Uuid> {
    let written = match given.cast::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) if given.get_type().fully_qualified_name()? == "uuid.UUID" => given.str()?,
        Err(_) => return Err(mistyped(field, given, "a str or a uuid.UUID")),
    };
    text(field, &written)?.parse().map_err(|_| raise(Error::invalid(field, "is not a UUID")))
}

/// An amount: a whole number, which `True` is not.
pub(crate) fn amount(field: &'static str, given: &Bound<'_, PyAny>) -> PyResult<u64> {
    if given.is_instance_of::<PyBool>() || !given.is_instance_of::<PyInt>() {
        return Err(mistyped(field, given, "an int"));
    }
    given.extract().map_err(|_| raise(Error::invalid(field, "must be an integer from 1 to 2^40 - 1")))
}

fn mistyped(field: &str, given: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let name = given.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{field} must be {wanted}, not {name}"))
}

/// An object of JSON.
pub(crate) fn object(field: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    match value(field, given, MAX_DEPTH, &mut 0)? {
        Value::Object(object) => Ok(object),
        _ => Err(mistyped(field, given, "a mapping")),
    }
}

fn value(field: &'static str, given: &Bound<'_, PyAny>, depth: usize, values: &mut usize) -> PyResult<Value> {
    *values += 1;
    if *values > MAX_VALUES {
        return Err(raise(Error::invalid(field, format!("holds more than {MAX_VALUES} values"))));
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(raise(Error::invalid(field, format!("is more than {MAX_DEPTH} levels deep"))));
    };
    if given.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(given) = given.cast::<PyBool>() {
        return Ok(given.is_true().into());
    }
    if let Ok(given) = given.cast::<PyString>() {
        return Ok(text(field, given)?.into());
    }
    if given.is_instance_of::<PyInt>() {
        let number = given.extract::<i64>().ok().filter(|number| number.unsigned_abs() < EXACT);
        let issue = "holds an integer with more digits than can be kept; give it as a str";
        return number.map(Value::from).ok_or_else(|| raise(Error::invalid(field, issue)));
    }
    if let Ok(given) = given.cast::<PyFloat>() {
        let number = Number::from_f64(given.value()).filter(|_| given.value().abs() < EXACT as f64);
        let issue = "holds a float that is no number of JSON, or has more digits than can be kept";
        return number.map(Value::Number).ok_or_else(|| raise(Error::invalid(field, issue)));
    }
    if let Ok(list) = given.cast::<PyList>() {
        return list
            .iter()
            .map(|one| value(field, &one, depth, values))
            .collect::<PyResult<Vec<_>>>()
            .map(Value::Array);
    }
    if let Ok(list) = given.cast::<PyTuple>() {
        return list
            .iter()
            .map(|one| value(field, &one, depth, values))
            .collect::<PyResult<Vec<_>>>()
            .map(Value::Array);
    }
    if let Ok(map) = given.cast::<PyDict>() {
        // A copy, because a mapping inside of it may run code that changes it.
        let map = map.copy()?;
        let pairs = map.iter().map(|(name, one)| pair(field, &name, &one, depth, values));
        return pairs.collect::<PyResult<Map<_, _>>>().map(Value::Object);
    }
    if let Ok(map) = given.cast::<PyMapping>() {
        let mut object = Map::new();
        for item in map.items()?.iter() {
            let (name, one): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            let (name, one) = pair(field, &name, &one, depth, values)?;
            object.insert(name, one);
        }
        return Ok(Value::Object(object));
    }
    Err(mistyped(field, given, "of what JSON has"))
}

fn pair(
    field: &'static str,
    name: &Bound<'_, PyAny>,
    of: &Bound<'_, PyAny>,
    depth: usize,
    values: &mut usize,
) -> PyResult<(String, Value)> {
    let Ok(name) = name.cast::<PyString>() else {
        return Err(mistyped(field, name, "a mapping whose keys are str"));
    };
    Ok((text(field, name)?.to_owned(), value(field, of, depth, values)?))
}
