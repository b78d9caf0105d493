//! Names of tensors in the files of BERT and DistilBERT.

use crate::text::Pooling;
use crate::weights::Weights;

/// Names a tensor as `BertModel` does; `None` for a pooler that `pooling` does not use.
pub(super) fn for_pooling(name: &str, pooling: Pooling) -> Option<String> {
    canonical(name).filter(|name| pooling == Pooling::Pooler || !name.starts_with("pooler."))
}

/// Names a tensor as `BertModel` does. The files of models built on it add `bert.` and the heads of the pre-training;
/// those converted from TensorFlow call the parameters of norms gamma and beta; those of DistilBERT have other names.
pub(super) fn canonical(name: &str) -> Option<String> {
    let name = ["bert.", "distilbert."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let head = ["cls.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."];
    let of_head = head.iter().any(|prefix| name.starts_with(prefix));
    let Some(layer) = name.strip_prefix("transformer.layer.") else { return (!of_head).then_some(name) };
    let renamed = DISTILLED.iter().fold(layer.to_owned(), |name, (distilled, bert)| name.replace(distilled, bert));
    Some(format!("encoder.layer.{renamed}"))
}

/// Whether a file has DistilBERT's names.
pub(super) fn is_distilled(weights: &Weights) -> bool {
    ["", "distilbert."]
        .iter()
        .any(|prefix| !weights.shape(&format!("{prefix}transformer.layer.0.ffn.lin1.weight")).is_empty())
}

/// DistilBERT's names of the modules of a block, and BERT's.
const DISTILLED: [(&str, &str); 8] = [
    (".output_layer_norm.", ".output.LayerNorm."),
    (".sa_layer_norm.", ".attention.output.LayerNorm."),
    (".attention.q_lin.", ".attention.self.query."),
    (".attention.k_lin.", ".attention.self.key."),
    (".attention.v_lin.", ".attention.self.value."),
    (".attention.out_lin.", ".attention.output.dense."),
    (".ffn.lin1.", ".intermediate.dense."),
    (".ffn.lin2.", ".output.dense."),
];
