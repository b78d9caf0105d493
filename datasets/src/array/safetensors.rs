//! Arrays in .safetensors files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use candle_core::Tensor;
use hashlab_data::DataError;
use safetensors::SafeTensors;
use serde_json::Value;

use super::element::Element;
use super::header::Problem;
use super::{broken, chosen, foreign};
use crate::own::places::{opened, unreadable};

/// The longest description that safetensors' own reader takes.
const LONGEST: u64 = 100_000_000;

/// Reads the array of a name, or the only one.
pub(super) fn read(path: &Path, name: Option<&str>) -> Result<Tensor, DataError> {
    let mut file = opened(path)?;
    let mut bytes = Vec::new();
    check(&mut file).map_err(broken(path))?;
    file.read_to_end(&mut bytes).map_err(unreadable(path))?;
    let damaged = |_| Problem { what: "its description of the arrays is damaged".to_owned(), ..Problem::cut(0, 0) };
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged).map_err(broken(path))?;
    let names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
    let name = chosen(path, name, &names)?;
    let view = tensors.tensor(&name).map_err(damaged).map_err(broken(path))?;
    let of_array = |what: String| format!("array `{name}`: {what}");
    let element = Element::of_safetensors(view.dtype());
    let element = element.map_err(|what| Problem::of_type(of_array(what))).map_err(broken(path))?;
    let tensor = element.tensor(view.data().to_vec(), view.shape());
    tensor.map_err(|what| broken(path)(Problem::new(of_array(what))))
}

/// Checks that the file is one of safetensors and as long as it says, and goes back to its start.
fn check(file: &mut File) -> Result<(), Problem> {
    use std::os::unix::fs::FileExt as _;
    let there = file.metadata()?.len();
    let mut begun = [0; 9];
    let read = file.read_at(&mut begun, 0)?;
    let length = u64::from_le_bytes(begun[..8].try_into().expect("eight bytes"));
    if read < begun.len() || begun[8] != b'{' || length > LONGEST {
        return Err(foreign::problem(&begun[..read], "a .safetensors file"));
    }
    if there < 8 + length {
        return Err(Problem::cut(there, 8 + length));
    }
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 8)?;
    let description: Value = serde_json::from_slice(&text)
        .map_err(|error| Problem::new(format!("its description of the arrays is damaged: {error}")))?;
    let ends = description.as_object().into_iter().flat_map(|arrays| arrays.values());
    let ends = ends.filter_map(|array| array.get("data_offsets")?.get(1)?.as_u64());
    let stated = ends.max().unwrap_or(0).saturating_add(8 + length);
    if there < stated { Err(Problem::cut(there, stated)) } else { Ok(()) }
}
