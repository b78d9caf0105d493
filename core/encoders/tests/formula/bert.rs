//! Files as Hugging Face's `BertModel` writes them.

use super::torchvision::{dense, norm_parts};
use super::{Tensor, tensor};

/// The sizes of an encoder.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) words: usize,
    pub(crate) positions: usize,
    pub(crate) dim: usize,
    pub(crate) hidden: usize,
    pub(crate) blocks: usize,
}

/// Every parameter, in the order of the state's names.
pub(crate) fn tensors(sizes: Sizes) -> Vec<(String, Tensor)> {
    let Sizes { words, positions, dim, hidden, blocks } = sizes;
    let norm = |name: &str| norm_parts(name, dim, &["weight", "bias"]);
    let tables = [("word", words), ("position", positions), ("token_type", 2)].map(|(name, len)| {
        let name = format!("embeddings.{name}_embeddings.weight");
        (name.clone(), tensor(&name, &[len, dim]))
    });
    let mut all = tables.to_vec();
    all.extend(norm("embeddings.LayerNorm"));
    for block in 0..blocks {
        let name = |part: &str| format!("encoder.layer.{block}.{part}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            all.extend(dense(&name(&format!("attention.{part}")), [dim, dim]));
        }
        all.extend(norm(&name("attention.output.LayerNorm")));
        all.extend(dense(&name("intermediate.dense"), [hidden, dim]));
        all.extend(dense(&name("output.dense"), [dim, hidden]));
        all.extend(norm(&name("output.LayerNorm")));
    }
    all.extend(dense("pooler.dense", [dim, dim]));
    all
}
