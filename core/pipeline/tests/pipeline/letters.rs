//! Invented captions, and an invented encoder of texts.

use std::path::PathBuf;

use candle_core::{Result, Tensor, Var};
use hashlab_data::{DataError, DataKind, Dataset, DatasetInfo, ItemData, Labels, Modality, Split, Texts};
use hashlab_encoders::{
    Draws, ENCODERS, Encoder, EncoderEntry, EncoderError, NO_TOKEN, Place, Pooling, TextEntry, TokenSource,
    TrainableEncoder,
};

use crate::squares::{ITEMS, Squares, info, split};

/// Captions of an item.
pub(crate) const CAPTIONS: usize = 3;

/// Length of a feature vector.
pub(crate) const DIM: usize = 12;

/// Items with an image as [`Squares`] has, and captions that contain the class.
pub(crate) struct Captioned {
    info: DatasetInfo,
    labels: Labels,
    images: Squares,
    /// The item whose captions are empty.
    pub(crate) silent: Option<usize>,
}

impl Captioned {
    pub(crate) fn new() -> Self {
        let modalities = [(Modality::Image, DataKind::Pixels), (Modality::Text, DataKind::Texts)];
        Self {
            info: info(modalities.into_iter().collect()),
            labels: Labels::single(2, (0..ITEMS).map(|item| item % 2)),
            images: Squares::new(),
            silent: None,
        }
    }
}

/// A caption: a word for the class, a letter for the item and one for the caption.
pub(crate) fn caption(item: usize, caption: usize) -> String {
    let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
    let class = if item.is_multiple_of(2) { "dark" } else { "light" };
    format!("{class} {} {}", letter(item), letter(20 + caption))
}

impl Texts for Captioned {
    fn captions(&self) -> usize {
        CAPTIONS
    }
    fn text(&self, index: usize, number: usize) -> std::result::Result<String, DataError> {
        Ok(if self.silent == Some(index) { String::new() } else { caption(index, number) })
    }
}

impl Dataset for Captioned {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        match modality {
            Modality::Text => Some(ItemData::Texts(self)),
            _ => self.images.data(modality),
        }
    }
    fn digest(&self) -> std::result::Result<&str, DataError> {
        Ok("captioned")
    }
    fn split(&self, _: &str, split_seed: u64) -> std::result::Result<Split, DataError> {
        split(split_seed)
    }
    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

const LETTERS: TextEntry = TextEntry {
    name: "letters",
    doc: "a vector for each byte: their mean, or the first's",
    needs_weights: false,
    dim: DIM,
    tokens: TokenSource::Bytes,
    max_tokens: 32,
    positions: 64,
    padding: None,
    poolings: &[Pooling::Mean, Pooling::First],
    published: None,
    open: |_, _, pooling, place| Ok(Box::new(Letters::new(pooling, place)?)),
    train: Some(|_, _, pooling, place| Ok(Box::new(Letters::new(pooling, place)?))),
};

/// The registered encoders, and [`Letters`].
pub(crate) fn encoders() -> &'static [EncoderEntry] {
    [ENCODERS, &[EncoderEntry::Text(LETTERS)]].concat().leak()
}

/// A table of vectors, one per byte.
pub(crate) struct Letters {
    table: Var,
    pooling: Pooling,
}

impl Letters {
    pub(crate) fn new(pooling: Pooling, place: Place<'_>) -> std::result::Result<Self, EncoderError> {
        let values: Vec<f32> = (0..256 * DIM).map(|at| ((at * at % 1009) as f32 * 0.37).sin()).collect();
        let table = Tensor::from_vec(values, (256, DIM), place.device)?.to_dtype(place.dtype)?;
        Ok(Self { table: Var::from_tensor(&table)?, pooling })
    }

    fn run(&self, texts: &Tensor, table: &Tensor) -> Result<Tensor> {
        let rows: Vec<Vec<u32>> = texts.to_vec2()?;
        let feature = |row: &Vec<u32>| {
            let mut bytes: Vec<u32> = row.iter().copied().take_while(|byte| *byte != NO_TOKEN).collect();
            if self.pooling == Pooling::First {
                bytes.truncate(1);
            }
            table.index_select(&Tensor::new(bytes, table.device())?, 0)?.mean(0)
        };
        Tensor::stack(&rows.iter().map(feature).collect::<Result<Vec<_>>>()?, 0)
    }
}

impl Encoder for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }
    fn dim(&self) -> usize {
        DIM
    }
    fn forward(&self, texts: &Tensor) -> Result<Tensor> {
        self.run(texts, &self.table.as_detached_tensor())
    }
}

impl TrainableEncoder for Letters {
    fn forward_train(&self, texts: &Tensor, _: Draws<'_>) -> Result<Tensor> {
        self.run(texts, self.table.as_tensor())
    }
    fn vars(&self) -> Vec<(String, Var)> {
        vec![("table".to_owned(), self.table.clone())]
    }
}
