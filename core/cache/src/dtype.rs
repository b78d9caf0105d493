//! Types of the numbers in a feature file.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values converted at a time: few enough for the processor's cache, and a bound on the memory for a long range.
const BLOCK: usize = 32 << 10;

/// Type of the stored features. Extraction and reading use f32 in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheDtype {
    /// Single precision: 4 bytes per value.
    #[default]
    F32,
    /// IEEE 754 half precision: 2 bytes per value, rounded to the nearest with ties to even. Features keep 11
    /// significant bits; those of 65,520 and more are rejected, those below 2^-14 lose accuracy.
    F16,
}

impl CacheDtype {
    /// Every type.
    pub(crate) const ALL: [Self; 2] = [Self::F32, Self::F16];

    /// Size of a value in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F16 => size_of::<f16>(),
        }
    }

    /// Whether a finite value can be stored as a finite one.
    pub(crate) fn holds(self, value: f32) -> bool {
        match self {
            Self::F32 => true,
            // Halfway from the largest number, 65504, to the next one in the series: a tie, which is rounded up, to
            // infinity.
            Self::F16 => value.abs() < 65520.0,
        }
    }

    /// Writes values as the file holds them, little-endian.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => {
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                halves.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    }

    /// Reads values from `offset` bytes into a file until `out` is full.
    pub(crate) fn read(self, file: &File, offset: u64, out: &mut [f32]) -> io::Result<()> {
        match self {
            Self::F32 => {
                file.read_exact_at(bytemuck::cast_slice_mut(out), offset)?;
                out.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
            }
            Self::F16 => read_halves(file, offset, out)?,
        }
        Ok(())
    }
}

fn read_halves(file: &File, offset: u64, out: &mut [f32]) -> io::Result<()> {
    let mut block = vec![0u16; out.len().min(BLOCK)];
    let offsets = (offset..).step_by(BLOCK * size_of::<f16>());
    for (out, offset) in out.chunks_mut(BLOCK).zip(offsets) {
        let bits = &mut block[..out.len()];
        file.read_exact_at(bytemuck::cast_slice_mut(bits), offset)?;
        bits.iter_mut().for_each(|bits| *bits = u16::from_le(*bits));
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
    }
    Ok(())
}

impl fmt::Display for CacheDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_all_that_rounds_to_a_finite_number() {
        let below = f32::from_bits(65520f32.to_bits() - 1);
        for (value, held) in [(0.0, true), (65504.0, true), (below, true), (65520.0, false), (f32::MAX, false)] {
            for value in [value, -value] {
                assert_eq!(CacheDtype::F16.holds(value), held, "{value}");
                assert_eq!(f16::from_f32(value).is_finite(), held, "{value}");
                assert!(CacheDtype::F32.holds(value));
            }
        }
    }

    #[test]
    fn names_are_those_of_configurations() {
        for dtype in CacheDtype::ALL {
            assert_eq!(serde_json::to_value(dtype).unwrap(), dtype.to_string());
        }
    }
}
