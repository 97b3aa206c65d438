//! Fields of a message. A value of the wrong type does not fail the parse of the whole message: it
//! is kept as such, so that the error can name the field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// A field has a value of the wrong type.
#[derive(Debug, Clone, Error, PartialEq)]
#[error("\"{field}\" must be {expected}, but it is {found}")]
pub struct WrongType {
    field: &'static str,
    expected: String,
    found: &'static str,
}

/// The value of a field.
#[derive(Debug, Default)]
pub enum Field<T> {
    /// There is none, or it is null.
    #[default]
    Missing,
    Value(T),
    /// The type of a value that is not a `T`, with its article.
    Wrong(&'static str),
}

impl<T> Field<T> {
    /// The value, if there is one of the right type.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

impl<'de, T: FieldValue<'de>> Field<T> {
    /// The value, or none where there is none.
    ///
    /// # Errors
    /// [`WrongType`], with the name of the field.
    pub fn get(self, field: &'static str) -> Result<Option<T>, WrongType> {
        match self {
            Self::Missing => Ok(None),
            Self::Value(value) => Ok(Some(value)),
            Self::Wrong(found) => Err(WrongType {
                field,
                expected: T::expected(),
                found,
            }),
        }
    }
}

/// A type that a field can have. The default implementation of a conversion means that the type
/// does not accept such a JSON value.
pub trait FieldValue<'de>: Sized {
    /// The name of an unsuitable JSON array in an error.
    const WRONG_ARRAY: &'static str = "an array";

    /// What the field must be, for an error: `a string`.
    fn expected() -> String;

    fn from_text(_: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn from_boolean(_: bool) -> Option<Self> {
        None
    }

    fn from_number(_: f64) -> Option<Self> {
        None
    }

    /// Reads the array to its end.
    ///
    /// # Errors
    /// If the JSON is malformed.
    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        skip(array)?;
        Ok(None)
    }
}

impl<'de: 'a, 'a> FieldValue<'de> for Cow<'a, str> {
    fn expected() -> String {
        "a string".to_owned()
    }

    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        Some(text)
    }
}

impl FieldValue<'_> for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn from_boolean(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl FieldValue<'_> for f64 {
    fn expected() -> String {
        "a number".to_owned()
    }

    fn from_number(value: f64) -> Option<Self> {
        Some(value)
    }
}

/// A square matrix by rows.
pub type Matrix<const N: usize> = [[f64; N]; N];

impl<'de, const N: usize> FieldValue<'de> for Matrix<N> {
    const WRONG_ARRAY: &'static str = "another array";

    fn expected() -> String {
        format!("{N} rows of {N} numbers")
    }

    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        let rows: Option<[Row<N>; N]> = exactly(array)?;
        Ok(rows.map(|rows| rows.map(|Row(row)| row)))
    }
}

/// A row of a matrix.
struct Row<const N: usize>([f64; N]);

impl<'de, const N: usize> FieldValue<'de> for Row<N> {
    fn expected() -> String {
        format!("{N} numbers")
    }

    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        Ok(exactly(array)?.map(Row))
    }
}

/// An array of exactly N values, or none if it is another array.
fn exactly<'de, T: FieldValue<'de>, A: SeqAccess<'de>, const N: usize>(
    mut array: A,
) -> Result<Option<[T; N]>, A::Error> {
    let mut values = Vec::with_capacity(N);
    while values.len() < N {
        match array.next_element()? {
            Some(Field::Value(value)) => values.push(value),
            Some(_) => {
                skip(array)?;
                return Ok(None);
            }
            None => return Ok(None),
        }
    }
    let more = array.next_element::<IgnoredAny>()?.is_some();
    skip(array)?;
    Ok(values.try_into().ok().filter(|_| !more))
}

fn skip<'de, A: SeqAccess<'de>>(mut array: A) -> Result<(), A::Error> {
    while array.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A value whose JSON type alone is of interest.
#[derive(Debug)]
pub struct Nothing;

impl FieldValue<'_> for Nothing {
    fn expected() -> String {
        "nothing".to_owned()
    }
}

impl<'de, T: FieldValue<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

fn or_wrong<T>(value: Option<T>, found: &'static str) -> Field<T> {
    value.map_or(Field::Wrong(found), Field::Value)
}

impl<'de, T: FieldValue<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&T::expected())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Missing)
    }

    /// The usual case: a slice of the message, not copied.
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(or_wrong(T::from_text(Cow::Borrowed(text)), "a string"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(or_wrong(T::from_text(Cow::Owned(text)), "a string"))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(or_wrong(T::from_boolean(value), "a boolean"))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(or_wrong(T::from_number(value), "a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        Ok(or_wrong(T::from_array(array)?, T::WRONG_ARRAY))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(json: &str) -> Result<Option<Matrix<2>>, WrongType> {
        let field: Field<Matrix<2>> = serde_json::from_str(json).expect("valid JSON");
        field.get("m")
    }

    #[test]
    fn a_matrix_has_as_many_rows_as_columns() {
        assert_eq!(
            matrix("[[1, 2.5], [-3, 4]]"),
            Ok(Some([[1.0, 2.5], [-3.0, 4.0]]))
        );
        assert_eq!(matrix("null"), Ok(None));
        for (json, found) in [
            ("[[1, 2], [3]]", "another array"),
            ("[[1, 2], [3, 4, 5]]", "another array"),
            ("[[1, 2], [3, 4], [5, 6]]", "another array"),
            ("[[1, 2]]", "another array"),
            ("[[1, null], [3, 4]]", "another array"),
            ("[1, 2, [3, {}]]", "another array"),
            ("[]", "another array"),
            ("{}", "an object"),
            ("1", "a number"),
        ] {
            let refused = matrix(json).expect_err(json).to_string();
            assert_eq!(
                refused,
                format!("\"m\" must be 2 rows of 2 numbers, but it is {found}")
            );
        }
    }
}
