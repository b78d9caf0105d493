//! Weights files: safetensors with the names of torchvision, or of timm; batch norms are folded where there are any.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use hashlab_kernels::conv::Padding;
use safetensors::{Dtype, SafeTensors};

use crate::{Place, timm};

/// Mean and standard deviation of ImageNet's colours, which torchvision's networks expect.
pub const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// Conversion of PyTorch's files (`pytorch_model.bin`, `.pth`, `.pt`) to safetensors.
const CONVERT: &str = "convert it once, in Python with torch and safetensors:
  python3 -c 'import sys, torch; from safetensors.torch import save_file; \
state = torch.load(sys.argv[1], map_location=\"cpu\", weights_only=True); \
state = state.get(\"state_dict\", state); \
save_file({name: t.contiguous().clone() for name, t in state.items()}, sys.argv[2])' pytorch_model.bin model.safetensors";

/// First bytes of PyTorch's files: a zip archive, or a pickle before version 1.6.
const PYTORCH: [&[u8]; 2] = [b"PK\x03\x04", b"\x80\x02"];

/// Prefixes of names by wrappers for several devices and training loops.
const WRAPPERS: [&str; 2] = ["module.", "model."];

/// Why a weights file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read the weights file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not safetensors.
    #[error("not a safetensors file: {0}\nhelp: {CONVERT}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The bytes are those of a PyTorch file.
    #[error("this is a PyTorch file, which may hold programs and is not read\nhelp: {CONVERT}")]
    PyTorch,
    /// The file's tensors are named in a way that is not known.
    #[error(
        "encoder `{encoder}` starts with tensor `{name}`, but the file holds {found}\nhelp: known are the names of \
         torchvision (batch norms may be folded), for mobilenet_v2 and vgg16 also those of timm, and for bert, clip, siglip \
         and dinov2 those of Hugging Face's transformers, for the last three also those of open_clip and timm"
    )]
    Names {
        /// The network.
        encoder: &'static str,
        /// Its first tensor, as torchvision names it.
        name: String,
        /// The file's first tensors.
        found: String,
    },
    /// A tensor that the network needs is absent.
    #[error("tensor `{name}` is missing, expected shape {expected:?}")]
    Missing {
        /// The tensor.
        name: String,
        /// Its shape in the network.
        expected: Vec<usize>,
    },
    /// A tensor has another shape.
    #[error("tensor `{name}` has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the network.
        expected: Vec<usize>,
        /// Its shape in the file.
        got: Vec<usize>,
    },
    /// A tensor is not of a floating-point type.
    #[error("tensor `{name}` has type {got:?}, expected F16, BF16 or F32")]
    Type {
        /// The tensor.
        name: String,
        /// Its type in the file.
        got: Dtype,
    },
    /// The file holds a tensor that the network does not know.
    #[error("tensor `{name}` of shape {got:?} has no place in encoder `{encoder}`\nhelp: is the file for another one?")]
    Extra {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        got: Vec<usize>,
        /// The network.
        encoder: &'static str,
    },
    /// A network whose batch norms are to be trained has none in the file.
    #[error(
        "the batch norm behind `{name}` is folded into the convolution and cannot be trained\nhelp: `norm = \"frozen\"` in \
         [image] keeps it as it is; or train from the network's original file, which has `{norm}.running_mean`"
    )]
    Folded {
        /// The convolution.
        name: String,
        /// Its batch norm.
        norm: String,
    },
    /// The header describes its preprocessing in words that are not known.
    #[error(
        "header entry `{key}` is `{got}`, which is not understood\nhelp: known are `RGB/127.5-1`, `RGB/255, mean R G B \
         std R G B` (for `preproc`), `TF SAME …`, `symmetric …` (for `padding`)"
    )]
    Header {
        /// The entry's key.
        key: &'static str,
        /// Its value.
        got: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A weights file in memory, in the file's types; a network gets each tensor in f32 when it is built.
#[derive(Clone)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
    digest: String,
}

impl Weights {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read, is no safetensors file or holds tensors that are not of a floating-point type.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = std::fs::read(path).map_err(|source| WeightsError::Read { path: path.into(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Reads the bytes of a safetensors file.
    ///
    /// # Errors
    /// If they are none, or hold tensors that are not of a floating-point type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WeightsError> {
        if PYTORCH.iter().any(|start| bytes.starts_with(start)) {
            return Err(WeightsError::PyTorch);
        }
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            // A counter that PyTorch's batch norm keeps for training; the numbers 0, 1, 2, … in files of text encoders.
            if name.ends_with(".num_batches_tracked") || name.ends_with(".position_ids") {
                continue;
            }
            let dtype = match view.dtype() {
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::F32 => DType::F32,
                got => return Err(WeightsError::Type { name, got }),
            };
            tensors.insert(name, Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?);
        }
        Ok(Self { tensors: unwrapped(tensors), metadata, digest: blake3::hash(bytes).to_hex().to_string() })
    }

    /// Returns the BLAKE3 digest of the file's bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns an entry of the file's header, such as `source` or `license`.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Returns the tensors under other names; those without one are left out.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        self.with(self.tensors().filter_map(|(name, tensor)| Some((rename(name)?, tensor.clone()))).collect())
    }

    /// Returns the file with these tensors in place of its own.
    pub(crate) fn with(&self, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors, metadata: self.metadata.clone(), digest: self.digest.clone() }
    }

    /// The tensors by name.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Returns the shape of a tensor; without the tensor, no sizes.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        self.tensors.get(name).map_or(&[], |tensor| tensor.dims())
    }

    /// Refuses tensors of these names that have other shapes.
    pub(crate) fn check_shapes(&self, tensors: &[(&str, &[usize])]) -> Result<(), WeightsError> {
        for (name, expected) in tensors {
            let got = self.shape(name);
            if self.tensors.contains_key(*name) && got != *expected {
                return Err(WeightsError::Shape {
                    name: (*name).into(),
                    expected: expected.to_vec(),
                    got: got.to_vec(),
                });
            }
        }
        Ok(())
    }

    /// Lists the first names, for a message.
    fn first_names(&self) -> String {
        const SHOWN: usize = 3;
        let names: Vec<String> = self.tensors.keys().take(SHOWN).map(|name| format!("`{name}`")).collect();
        match (names.is_empty(), self.tensors.len() > SHOWN) {
            (true, _) => "no tensors".into(),
            (false, more) => names.join(", ") + if more { ", …" } else { "" },
        }
    }

    /// Returns mean and standard deviation of each color, if the header's `preproc` states them.
    ///
    /// # Errors
    /// If the entry is not understood.
    pub fn normalize(&self) -> Result<Option<[[f32; 3]; 2]>, WeightsError> {
        let Some(text) = self.header("preproc") else { return Ok(None) };
        if text.starts_with("RGB/127.5-1") {
            return Ok(Some([[0.5; 3]; 2])); // x / 127.5 - 1 = (x / 255 - 0.5) / 0.5
        }
        let parsed = parse_normalize(text);
        parsed.map(Some).ok_or_else(|| WeightsError::Header { key: "preproc", got: text.into() })
    }

    /// Returns the padding of 3×3 convolutions of stride 2 as the header's `padding` states it; without it, torchvision's.
    ///
    /// # Errors
    /// If the entry is not understood.
    pub fn padding(&self) -> Result<Padding, WeightsError> {
        match self.header("padding") {
            None => Ok(Padding::Symmetric(1)),
            Some(text) if text.starts_with("symmetric") => Ok(Padding::Symmetric(1)),
            Some(text) if text.starts_with("TF SAME") => Ok(Padding::Same),
            Some(text) => Err(WeightsError::Header { key: "padding", got: text.into() }),
        }
    }
}

/// Takes the prefixes off that all names have.
fn unwrapped(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let shared = |tensors: &BTreeMap<String, Tensor>| {
        WRAPPERS.into_iter().find(|prefix| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)))
    };
    while let Some(prefix) = shared(&tensors) {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
    }
    tensors
}

/// Parses `RGB/255, mean r g b std r g b …`.
fn parse_normalize(text: &str) -> Option<[[f32; 3]; 2]> {
    let words: Vec<&str> = text.strip_prefix("RGB/255,")?.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let &["mean", m0, m1, m2, "std", s0, s1, s2, ..] = words.as_slice() else { return None };
    let numbers = |words: [&str; 3]| {
        let [r, g, b] = words.map(|w| w.parse::<f32>().ok());
        Some([r?, g?, b?])
    };
    Some([numbers([m0, m1, m2])?, numbers([s0, s1, s2])?])
}

/// Hands out the tensors of a file by torchvision's names, whichever the file has, and remembers which were asked for.
pub(crate) struct Reader<'a> {
    weights: &'a Weights,
    place: Place<'a>,
    encoder: &'static str,
    /// Whether the file has timm's names.
    timm: bool,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(weights: &'a Weights, encoder: &'static str, place: Place<'a>) -> Self {
        let timm = timm::FIRST
            .iter()
            .any(|(of, first)| encoder.split('/').next() == Some(of) && weights.tensors.contains_key(*first));
        Self { weights, place, encoder, timm, used: RefCell::default() }
    }

    /// Returns the weight and the bias of the convolution `name`.
    ///
    /// Where the file has a batch norm behind it (as timm's and torchvision's own files do), the norm is folded into both.
    pub(crate) fn conv(&self, name: &str, shape: [usize; 4]) -> Result<[Tensor; 2], WeightsError> {
        let (conv, norm) = self.modules(name);
        let weight = self.stored(&format!("{conv}.weight"), &shape)?;
        let [weight, bias] =
            match norm.filter(|norm| self.weights.tensors.contains_key(&format!("{norm}.running_mean"))) {
                Some(norm) => self.folded(&weight, &norm, shape[0])?,
                None => [weight, self.stored(&format!("{conv}.bias"), &shape[..1])?],
            };
        Ok([weight.to_dtype(self.place.dtype)?, bias.to_dtype(self.place.dtype)?])
    }

    /// Names, as the file does, a convolution and the batch norm that may stand behind it.
    pub(crate) fn modules(&self, name: &str) -> (String, Option<String>) {
        match timm::mobilenet_v2(name).filter(|_| self.timm) {
            Some([conv, norm]) => (conv, Some(norm)),
            None => (name.to_owned(), norm_after(name)),
        }
    }

    /// Folds `y = (conv - mean) / sqrt(var + eps) · weight + bias` into the convolution.
    fn folded(&self, weight: &Tensor, norm: &str, out: usize) -> Result<[Tensor; 2], WeightsError> {
        const EPS: f64 = 1e-5; // torch.nn.BatchNorm2d
        let part = |part: &str| self.stored(&format!("{norm}.{part}"), &[out]);
        let scale = (part("weight")? / (part("running_var")? + EPS)?.sqrt()?)?;
        let bias = (part("bias")? - (part("running_mean")? * &scale)?)?;
        Ok([weight.broadcast_mul(&scale.reshape((out, 1, 1, 1))?)?, bias])
    }

    /// Returns the weight and the bias of the dense layer `name`.
    pub(crate) fn dense(&self, name: &str, shape: [usize; 2]) -> Result<[Tensor; 2], WeightsError> {
        Ok([self.tensor(&format!("{name}.weight"), &shape)?, self.tensor(&format!("{name}.bias"), &shape[..1])?])
    }

    /// Returns the tensor `name`.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        Ok(self.stored(name, shape)?.to_dtype(self.place.dtype)?)
    }

    /// Returns the tensor `name` in f32, in which norms are folded whatever the network computes in.
    fn stored(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let of_timm = timm::vgg16(name).filter(|_| self.timm);
        let name = of_timm.as_deref().unwrap_or(name);
        let first = self.used.borrow().is_empty();
        self.used.borrow_mut().insert(name.into());
        match self.weights.tensors.get(name) {
            // timm's dense layer, a convolution over the whole image.
            Some(tensor) if of_timm.is_some() && is_flat(tensor.dims(), shape) => self.placed(&tensor.reshape(shape)?),
            Some(tensor) if tensor.dims() == shape => self.placed(tensor),
            Some(tensor) => {
                Err(WeightsError::Shape { name: name.into(), expected: shape.into(), got: tensor.dims().into() })
            }
            // Without even the first one, it is not a tensor that is missing.
            None if first => {
                Err(WeightsError::Names { encoder: self.encoder, name: name.into(), found: self.weights.first_names() })
            }
            None => Err(WeightsError::Missing { name: name.into(), expected: shape.into() }),
        }
    }

    /// Moves a tensor of the file to the network's device, in f32.
    fn placed(&self, tensor: &Tensor) -> Result<Tensor, WeightsError> {
        Ok(tensor.to_device(self.place.device)?.to_dtype(DType::F32)?)
    }

    /// Returns what the file's header says about padding, see [`Weights::padding`].
    pub(crate) fn padding(&self) -> Result<Padding, WeightsError> {
        self.weights.padding()
    }

    /// Whether the file has folded the batch norm `norm` into the convolution `name`.
    pub(crate) fn is_folded(&self, name: &str, norm: &str) -> bool {
        let has = |module: &str, part: &str| self.weights.tensors.contains_key(&format!("{module}.{part}"));
        has(name, "bias") && !has(norm, "running_mean")
    }

    /// Refuses tensors that were not asked for, unless only a `part` was read; the classifier is no part of a encoder.
    /// Returns the normalization that the file asks for; without its word, `normalize`.
    pub(crate) fn finish(self, part: bool, normalize: [[f32; 3]; 2]) -> Result<[[f32; 3]; 2], WeightsError> {
        let used = self.used.into_inner();
        let classifier = |name: &str| {
            ["classifier.", "pre_logits.", "fc.", "heads.", "head.fc."].iter().any(|prefix| name.starts_with(prefix))
        };
        let extra = |name: &String| !part && !used.contains(name) && !classifier(name);
        match self.weights.tensors.iter().find(|(name, _)| extra(name)) {
            Some((name, tensor)) => {
                Err(WeightsError::Extra { name: name.clone(), got: tensor.dims().into(), encoder: self.encoder })
            }
            None => Ok(self.weights.normalize()?.unwrap_or(normalize)),
        }
    }
}

/// Whether a tensor of these sizes has the rows of a matrix of shape `flat`.
fn is_flat(sizes: &[usize], flat: &[usize]) -> bool {
    sizes.len() > 2
        && sizes[0] == flat[0]
        && sizes[1..].iter().product::<usize>() == flat[1..].iter().product::<usize>()
}

/// Names the batch norm that torchvision puts behind convolution `name`: `features.0.1` behind `features.0.0` of a
/// sequence, `layer1.0.bn2` behind `layer1.0.conv2`.
pub(crate) fn norm_after(name: &str) -> Option<String> {
    let start = name.rfind('.').map_or(0, |dot| dot + 1);
    let (parent, last) = name.split_at(start);
    match last.strip_prefix("conv") {
        Some(index) => Some(format!("{parent}bn{index}")),
        None => Some(format!("{parent}{}", last.parse::<usize>().ok()? + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preprocessing_is_read_from_the_header() {
        let weights = |key: &str, value: &str| Weights {
            tensors: BTreeMap::new(),
            metadata: [(key.to_owned(), value.to_owned())].into(),
            digest: String::new(),
        };
        let preproc = |text| weights("preproc", text).normalize();
        assert_eq!(preproc("RGB/127.5-1, 224").unwrap(), Some([[0.5; 3]; 2]));
        assert_eq!(preproc("RGB/255, mean .485 .456 .406 std .229 .224 .225, 224").unwrap(), Some(IMAGENET));
        assert_eq!(weights("other", "").normalize().unwrap(), None);
        assert!(preproc("BGR - 104").unwrap_err().to_string().contains("`BGR - 104`"));
        assert_eq!(weights("padding", "TF SAME: stride-2 convs pad (0,1)").padding().unwrap(), Padding::Same);
        assert_eq!(weights("padding", "symmetric 1").padding().unwrap(), Padding::Symmetric(1));
        assert_eq!(weights("other", "").padding().unwrap(), Padding::Symmetric(1));
        assert!(weights("padding", "reflect").padding().is_err());
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = Weights::read(Path::new("no/such/file")).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("no/such/file"));
        let refused = Weights::from_bytes(b"PK\x03\x04 a PyTorch file").map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("PyTorch file") && refused.contains("save_file"), "{refused}");
    }
}
