//! Ranges of numbers.

use serde_json::{Number, Value};

/// The range of a number, as in JSON schemas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds([Option<f64>; 4]);

struct Bound {
    key: &'static str,
    words: &'static str,
    holds: fn(f64, f64) -> bool,
}

const BOUNDS: [Bound; 4] = [
    Bound { key: "minimum", words: "at least", holds: |x, bound| x >= bound },
    Bound { key: "exclusiveMinimum", words: "above", holds: |x, bound| x > bound },
    Bound { key: "maximum", words: "at most", holds: |x, bound| x <= bound },
    Bound { key: "exclusiveMaximum", words: "below", holds: |x, bound| x < bound },
];

impl Bounds {
    /// Reads `minimum`, `maximum`, `exclusiveMinimum` and `exclusiveMaximum`, and the range of an integer's `format`.
    pub(crate) fn of(schema: &Value) -> Self {
        let mut bounds = BOUNDS.map(|bound| schema.get(bound.key).and_then(Value::as_f64));
        let [minimum, _, maximum, _] = &mut bounds;
        if let Some((least, most)) = schema.get("format").and_then(Value::as_str).and_then(of_format) {
            *minimum = Some(minimum.map_or(least, |bound| bound.max(least)));
            *maximum = Some(maximum.map_or(most, |bound| bound.min(most)));
        }
        Self(bounds)
    }

    /// The range in words, if it does not hold `number`.
    pub(crate) fn broken(&self, number: &Number) -> Option<String> {
        let number = number.as_f64()?;
        let holds = BOUNDS.iter().zip(self.0).all(|(known, bound)| bound.is_none_or(|b| (known.holds)(number, b)));
        if holds && number.is_finite() { None } else { self.describe() }
    }

    /// The range in words, e.g. `at least 0 and below 1`; `None` if there are no bounds.
    pub fn describe(&self) -> Option<String> {
        let named = BOUNDS.iter().zip(self.0).filter_map(|(known, bound)| Some(format!("{} {}", known.words, bound?)));
        let bounds: Vec<String> = named.collect();
        (!bounds.is_empty()).then(|| bounds.join(" and "))
    }
}

/// The range of a small integer type. Types of 64 bits include every integer that a file can contain.
fn of_format(format: &str) -> Option<(f64, f64)> {
    match format {
        "uint8" => Some((0.0, f64::from(u8::MAX))),
        "uint16" => Some((0.0, f64::from(u16::MAX))),
        "uint32" => Some((0.0, f64::from(u32::MAX))),
        "int8" => Some((f64::from(i8::MIN), f64::from(i8::MAX))),
        "int16" => Some((f64::from(i16::MIN), f64::from(i16::MAX))),
        "int32" => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        _ => None,
    }
}
