//! Batches of texts of different lengths.

use candle_core::{DType, Device, Result, Tensor, bail};

/// Padding of shorter texts in a batch; not a token.
pub const NO_TOKEN: u32 = u32::MAX;

/// Packs the token ids of `n` texts into the input of text encoders, `(n, width)` on the CPU.
///
/// # Errors
/// If a text has more than `width` tokens.
pub fn token_tensor(texts: &[impl AsRef<[u32]>], width: usize) -> Result<Tensor> {
    let mut ids = vec![NO_TOKEN; texts.len() * width];
    for (text, row) in texts.iter().map(AsRef::as_ref).zip(ids.chunks_exact_mut(width)) {
        let Some(filled) = row.get_mut(..text.len()) else { bail!("a text of {} tokens, not of {width}", text.len()) };
        filled.copy_from_slice(text);
    }
    Tensor::from_vec(ids, (texts.len(), width), &Device::Cpu)
}

/// The tokens of a batch, text after text, without padding.
pub(crate) struct TokenBatch {
    /// Index of each token among those with padding.
    places: Vec<u32>,
    /// Number of tokens of each text.
    pub(crate) lengths: Vec<usize>,
    /// Number of texts, and of tokens of each with padding.
    padded: (usize, usize),
}

impl TokenBatch {
    /// Finds the tokens: the entries of `mask`, shape `(n, t)`, that are not 0.
    pub(crate) fn new(mask: &Tensor) -> Result<Self> {
        let padded = mask.dims2()?;
        let present: Vec<f32> = mask.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let places = (0..).zip(&present).filter(|(_, present)| **present != 0.0).map(|(place, _)| place).collect();
        let count = |text: &[f32]| text.iter().filter(|present| **present != 0.0).count();
        let lengths: Vec<usize> = present.chunks(padded.1.max(1)).map(count).collect();
        if let Some(text) = lengths.iter().position(|len| *len == 0) {
            bail!("text {text} has no tokens");
        }
        Ok(Self { places, lengths, padded })
    }

    /// Makes the batch of texts of these lengths, without padding.
    pub(crate) fn of(lengths: Vec<usize>) -> Result<Self> {
        if let Some(text) = lengths.iter().position(|len| *len == 0) {
            bail!("text {text} has no tokens");
        }
        let padded = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let places = (0..).zip(&lengths).flat_map(|(text, len)| {
            let start = text * padded.1 as u32;
            start..start + *len as u32
        });
        Ok(Self { places: places.collect(), lengths, padded })
    }

    /// Returns the index of each text's first token, u32, on `device`.
    pub(crate) fn first(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(self.ends().zip(&self.lengths).map(|(end, len)| end - *len as u32).collect::<Vec<_>>(), device)
    }

    /// Returns the index of each text's last token, u32, on `device`.
    pub(crate) fn last(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(self.ends().map(|end| end - 1).collect::<Vec<_>>(), device)
    }

    /// Returns the index after each text's last token.
    fn ends(&self) -> impl Iterator<Item = u32> {
        self.lengths.iter().scan(0, |end, len| {
            *end += *len as u32;
            Some(*end)
        })
    }

    /// Maps rows of tokens `(tokens, dim)` to the mean of each text, `(n, dim)`.
    pub(crate) fn mean(&self, rows: &Tensor) -> Result<Tensor> {
        let lengths: Vec<f32> = self.lengths.iter().map(|len| *len as f32).collect();
        let lengths = Tensor::new(lengths, rows.device())?.unsqueeze(1)?;
        let sums = self.pad(&rows.to_dtype(DType::F32)?)?.sum(1)?;
        sums.broadcast_div(&lengths)?.to_dtype(rows.dtype())
    }

    /// Returns the positions of the tokens in their texts, u32, on `device`.
    pub(crate) fn positions(&self, device: &Device) -> Result<Tensor> {
        let positions: Vec<u32> = self.places.iter().map(|place| place % self.padded.1 as u32).collect();
        Tensor::new(positions, device)
    }

    /// Takes the tokens out of a padded batch `(n, t)`.
    pub(crate) fn pack(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten_all()?.index_select(&Tensor::new(self.places.as_slice(), x.device())?, 0)
    }

    /// Maps rows of tokens `(tokens, dim)` to `(n, t, dim)`, with zeros as padding.
    pub(crate) fn pad(&self, rows: &Tensor) -> Result<Tensor> {
        let ((n, t), (tokens, dim)) = (self.padded, rows.dims2()?);
        if tokens == n * t {
            return rows.reshape((n, t, dim));
        }
        let mut sources = vec![tokens as u32; n * t];
        for (row, place) in (0..).zip(&self.places) {
            sources[*place as usize] = row;
        }
        let zero = Tensor::zeros((1, dim), rows.dtype(), rows.device())?;
        let sources = Tensor::new(sources, rows.device())?;
        Tensor::cat(&[rows, &zero], 0)?.index_select(&sources, 0)?.reshape((n, t, dim))
    }
}
