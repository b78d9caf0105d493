//! Types of an array's values, and their bytes.

use candle_core::{DType, Device, Tensor};

/// What to do about an array whose values are of another type.
pub(super) const READABLE: &str = "readable are bool, int8 to int64, uint8 to uint64 and float16 to float64: \
                                   numpy.save(FILE, array.astype(\"float32\")), labels and indices as \"int64\"";

/// Type of an array's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    kind: Kind,
    /// Whether the highest byte of a value comes first.
    big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One that a tensor holds.
    Of(DType),
    /// int8, which becomes int16.
    Signed8,
    /// uint16, which becomes uint32.
    Unsigned16,
    /// uint64, which becomes int64.
    Unsigned64,
}

impl Element {
    /// The type of numpy's name, e.g. `<f4`.
    ///
    /// # Errors
    /// Words for the type, if it is no plain number.
    pub(super) fn of_numpy(name: &str) -> Result<Self, String> {
        let kind = match name.trim_start_matches(['<', '>', '|', '=']) {
            "i1" => Kind::Signed8,
            "u2" => Kind::Unsigned16,
            "u8" => Kind::Unsigned64,
            "f2" => Kind::Of(DType::F16),
            "f4" => Kind::Of(DType::F32),
            "f8" => Kind::Of(DType::F64),
            "u1" | "b1" => Kind::Of(DType::U8),
            "u4" => Kind::Of(DType::U32),
            "i2" => Kind::Of(DType::I16),
            "i4" => Kind::Of(DType::I32),
            "i8" => Kind::Of(DType::I64),
            other => return Err(format!("its values are {} (`{name}` in numpy)", described(other))),
        };
        Ok(Self { kind, big_endian: name.starts_with('>') })
    }

    /// The type of safetensors.
    ///
    /// # Errors
    /// Words for the type, if it is another one.
    pub(super) fn of_safetensors(name: safetensors::Dtype) -> Result<Self, String> {
        use safetensors::Dtype;
        let kind = match name {
            Dtype::I8 => Kind::Signed8,
            Dtype::U16 => Kind::Unsigned16,
            Dtype::U64 => Kind::Unsigned64,
            Dtype::BOOL | Dtype::U8 => Kind::Of(DType::U8),
            Dtype::I16 => Kind::Of(DType::I16),
            Dtype::I32 => Kind::Of(DType::I32),
            Dtype::U32 => Kind::Of(DType::U32),
            Dtype::I64 => Kind::Of(DType::I64),
            Dtype::F16 => Kind::Of(DType::F16),
            Dtype::BF16 => Kind::Of(DType::BF16),
            Dtype::F32 => Kind::Of(DType::F32),
            Dtype::F64 => Kind::Of(DType::F64),
            other => return Err(format!("its values are of type {other:?}")),
        };
        Ok(Self { kind, big_endian: false })
    }

    /// Bytes of a value.
    pub(super) fn bytes(self) -> usize {
        match self.kind {
            Kind::Of(dtype) => dtype.size_in_bytes(),
            Kind::Signed8 => 1,
            Kind::Unsigned16 => 2,
            Kind::Unsigned64 => 8,
        }
    }

    /// The values of an array, whose axes are in the order of `shape`.
    ///
    /// # Errors
    /// If a value has no place in the tensor's type.
    pub(super) fn tensor(self, mut bytes: Vec<u8>, shape: &[usize]) -> Result<Tensor, String> {
        if self.big_endian {
            bytes.chunks_exact_mut(self.bytes()).for_each(<[u8]>::reverse);
        }
        let device = &Device::Cpu;
        let tensor = match self.kind {
            Kind::Of(dtype) => Tensor::from_raw_buffer(&bytes, dtype, shape, device),
            Kind::Signed8 => {
                let values: Vec<i16> = bytes.iter().map(|&byte| i16::from(byte.cast_signed())).collect();
                Tensor::from_vec(values, shape, device)
            }
            Kind::Unsigned16 => {
                let value = |bytes: &[u8]| u32::from(u16::from_le_bytes(bytes.try_into().expect("two bytes")));
                Tensor::from_vec(bytes.chunks_exact(2).map(value).collect(), shape, device)
            }
            Kind::Unsigned64 => {
                let value = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                let small = |value: u64| i64::try_from(value).map_err(|_| format!("it holds {value}, more than int64"));
                let values = bytes.chunks_exact(8).map(|bytes| small(value(bytes))).collect::<Result<Vec<i64>, _>>()?;
                Tensor::from_vec(values, shape, device)
            }
        };
        tensor.map_err(|error| error.to_string())
    }
}

/// Words for a type of numpy's that is none of numbers.
fn described(name: &str) -> &'static str {
    match name.chars().next() {
        Some('c') => "complex numbers",
        Some('U' | 'S' | 'a') => "texts",
        Some('O') => "Python objects, which may hold programs",
        Some('M' | 'm') => "times",
        Some('V') => "bytes without a type",
        _ => "of a type that is not known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, bytes: &[u8]) -> Result<Vec<f64>, String> {
        let element = Element::of_numpy(name)?;
        let tensor = element.tensor(bytes.to_vec(), &[bytes.len() / element.bytes()])?;
        tensor.to_dtype(DType::F64).and_then(|tensor| tensor.to_vec1()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_numpys_in_either_order_of_bytes() {
        assert_eq!(values("|i1", &[0xff, 1]).unwrap(), [-1.0, 1.0]);
        assert_eq!(values("|b1", &[0, 1]).unwrap(), [0.0, 1.0]);
        assert_eq!(values("<u2", &[0xff, 0xff]).unwrap(), [65535.0]);
        assert_eq!(values(">u2", &[0, 2]).unwrap(), [2.0]);
        assert_eq!(values("<i8", &(-3i64).to_le_bytes()).unwrap(), [-3.0]);
        assert_eq!(values(">i4", &(-3i32).to_be_bytes()).unwrap(), [-3.0]);
        assert_eq!(values(">f4", &[1.5f32, -2.0].map(f32::to_be_bytes).concat()).unwrap(), [1.5, -2.0]);
        assert_eq!(values("<u8", &7u64.to_le_bytes()).unwrap(), [7.0]);
        assert!(values("<u8", &u64::MAX.to_le_bytes()).unwrap_err().contains("18446744073709551615"));
    }

    #[test]
    fn what_is_no_number_is_said_in_words() {
        for (name, words) in [
            ("<c8", "complex numbers"),
            ("<U3", "texts"),
            ("|O", "Python objects"),
            ("<M8[s]", "times"),
            ("x", "known"),
        ] {
            let said = Element::of_numpy(name).unwrap_err();
            assert!(said.contains(words) && said.contains(name), "{said}");
        }
    }
}
