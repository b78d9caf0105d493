//! An encoder of texts: how often each pair of letters occurs.

use candle_core::{DType, Device, Result, Tensor};
use hashlab_encoders::{Encoder, EncoderEntry, NO_TOKEN, Pooling, TextEntry, TokenSource};

/// The encoder's registration.
pub const ENTRY: EncoderEntry = EncoderEntry::Text(TextEntry {
    name: "letter_pairs",
    doc: "the share of each pair of letters: 676 features",
    needs_weights: false,
    dim: DIM,
    tokens: TokenSource::Bytes,
    max_tokens: 256,
    positions: 65_536,
    padding: None,
    poolings: &[Pooling::Mean],
    published: None,
    open: |_, _, _, place| Ok(Box::new(LetterPairs { device: place.device.clone(), dtype: place.dtype })),
    train: None,
});

const LETTERS: usize = 26;
const DIM: usize = LETTERS * LETTERS;

struct LetterPairs {
    device: Device,
    dtype: DType,
}

impl Encoder for LetterPairs {
    fn name(&self) -> &'static str {
        "letter_pairs"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn forward(&self, texts: &Tensor) -> Result<Tensor> {
        let rows: Vec<Vec<u32>> = texts.to_vec2()?;
        let features: Vec<f32> = rows.iter().flat_map(|bytes| shares(bytes)).collect();
        Tensor::from_vec(features, (rows.len(), DIM), &self.device)?.to_dtype(self.dtype)
    }
}

/// The share of each pair of letters among all of a text's.
fn shares(bytes: &[u32]) -> Vec<f32> {
    let letter = |byte: &u32| {
        let byte = u8::try_from(*byte).ok()?.to_ascii_lowercase();
        byte.is_ascii_lowercase().then(|| usize::from(byte - b'a'))
    };
    let letters: Vec<Option<usize>> = bytes.iter().take_while(|byte| **byte != NO_TOKEN).map(letter).collect();
    let pairs: Vec<usize> = letters.windows(2).filter_map(|pair| Some(LETTERS * pair[0]? + pair[1]?)).collect();
    let mut shares = vec![0.0; DIM];
    for pair in &pairs {
        shares[*pair] += 1.0 / pairs.len() as f32;
    }
    shares
}

#[cfg(test)]
mod tests {
    use hashlab_encoders::{Tokenizer, token_tensor};

    use super::*;

    #[test]
    fn pairs_are_counted_within_words() {
        let ids = ["Aba", "b"].map(|text| Tokenizer::of_bytes(8).encode(text).unwrap().ids);
        let encoder = LetterPairs { device: Device::Cpu, dtype: DType::F32 };
        let features: Vec<Vec<f32>> = encoder.forward(&token_tensor(&ids, 8).unwrap()).unwrap().to_vec2().unwrap();
        let found: Vec<(usize, f32)> =
            (0..).zip(features[0].iter().copied()).filter(|(_, share)| *share > 0.0).collect();
        assert_eq!(found, [(1, 0.5), (LETTERS, 0.5)]);
        assert!(features[1].iter().all(|share| *share == 0.0));
    }
}
