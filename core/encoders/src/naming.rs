//! The names that open_clip and timm have for the tensors of transformers, in those of Hugging Face's transformers.
//!
//! Both keep queries, keys and values in one layer. open_clip's projections are the transposes of transformers'
//! (`open_clip/transformer.py`); its SigLIP has an image network of timm (`timm/models/vision_transformer.py`,
//! `timm/layers/attention_pool.py`), as have the files of timm itself. OpenAI's own files have open_clip's names,
//! Meta's DINOv2 timm's.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor};

use crate::weights::Weights;

/// The names of a network. A source that ends in a dot is that of a module, whose tensors keep the ends of their names.
struct Naming {
    /// What all names start with, in files that hold several networks.
    prefix: &'static str,
    /// What lies outside of the blocks.
    outside: &'static [(&'static str, &'static str, Change)],
    /// What stands before the number of a block: in the file, and in transformers.
    blocks: [&'static str; 2],
    /// What lies in a block.
    inside: &'static [(&'static str, &'static str)],
    /// Queries, keys and values: in the file, and in transformers.
    inputs: (&'static str, [&'static str; 3]),
}

/// What becomes of a tensor.
#[derive(Clone, Copy)]
enum Change {
    Same,
    Transposed,
    /// With so many axes, the first of which are joined.
    Flat(usize),
}

const OPEN_CLIP_BLOCK: &[(&str, &str)] = &[
    ("ln_1.", "layer_norm1."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];
const TOWER_INPUTS: [&str; 3] = ["self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."];

const OPEN_CLIP_IMAGE: Naming = Naming {
    prefix: "visual.",
    outside: &[
        ("class_embedding", "vision_model.embeddings.class_embedding", Change::Same),
        ("positional_embedding", "vision_model.embeddings.position_embedding.weight", Change::Same),
        ("conv1.", "vision_model.embeddings.patch_embedding.", Change::Same),
        ("ln_pre.", "vision_model.pre_layrnorm.", Change::Same),
        ("ln_post.", "vision_model.post_layernorm.", Change::Same),
        ("proj", "visual_projection.weight", Change::Transposed),
    ],
    blocks: ["transformer.resblocks.", "vision_model.encoder.layers."],
    inside: OPEN_CLIP_BLOCK,
    inputs: ("attn.in_proj_", TOWER_INPUTS),
};

const OPEN_CLIP_TEXT: Naming = Naming {
    prefix: "",
    outside: &[
        ("token_embedding.", "text_model.embeddings.token_embedding.", Change::Same),
        ("positional_embedding", "text_model.embeddings.position_embedding.weight", Change::Same),
        ("ln_final.", "text_model.final_layer_norm.", Change::Same),
        ("text_projection", "text_projection.weight", Change::Transposed),
        // SigLIP's projection is a layer with a bias.
        ("text_projection.", "text_model.head.", Change::Same),
    ],
    blocks: ["transformer.resblocks.", "text_model.encoder.layers."],
    inside: OPEN_CLIP_BLOCK,
    inputs: ("attn.in_proj_", TOWER_INPUTS),
};

/// The image networks of CLIP and SigLIP.
const TIMM_IMAGE: Naming = Naming {
    prefix: "",
    outside: &[
        ("cls_token", "vision_model.embeddings.class_embedding", Change::Flat(1)),
        ("pos_embed", "vision_model.embeddings.position_embedding.weight", Change::Flat(2)),
        ("patch_embed.proj.", "vision_model.embeddings.patch_embedding.", Change::Same),
        ("norm_pre.", "vision_model.pre_layrnorm.", Change::Same),
        ("norm.", "vision_model.post_layernorm.", Change::Same),
        ("head.weight", "visual_projection.weight", Change::Same),
        ("attn_pool.latent", "vision_model.head.probe", Change::Same),
        ("attn_pool.proj.", "vision_model.head.attention.out_proj.", Change::Same),
        ("attn_pool.norm.", "vision_model.head.layernorm.", Change::Same),
        ("attn_pool.mlp.", "vision_model.head.mlp.", Change::Same),
    ],
    blocks: ["blocks.", "vision_model.encoder.layers."],
    inside: &[
        ("norm1.", "layer_norm1."),
        ("attn.proj.", "self_attn.out_proj."),
        ("norm2.", "layer_norm2."),
        ("mlp.", "mlp."),
    ],
    inputs: ("attn.qkv.", TOWER_INPUTS),
};

const TIMM_DINO: Naming = Naming {
    prefix: "",
    outside: &[
        ("cls_token", "embeddings.cls_token", Change::Same),
        ("mask_token", "embeddings.mask_token", Change::Same),
        ("pos_embed", "embeddings.position_embeddings", Change::Same),
        ("patch_embed.proj.", "embeddings.patch_embeddings.projection.", Change::Same),
        ("norm.", "layernorm.", Change::Same),
    ],
    blocks: ["blocks.", "encoder.layer."],
    inside: &[
        ("norm1.", "norm1."),
        ("attn.proj.", "attention.output.dense."),
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("norm2.", "norm2."),
        ("mlp.", "mlp."),
        ("ls2.gamma", "layer_scale2.lambda1"),
    ],
    inputs: ("attn.qkv.", ["attention.attention.query.", "attention.attention.key.", "attention.attention.value."]),
};

/// Names the tensors of CLIP and SigLIP as transformers does, in whichever naming they are; what none knows is kept.
///
/// # Errors
/// If a tensor cannot be divided as its name says.
pub(crate) fn towers(weights: &Weights) -> Result<Weights> {
    let namings = [
        Naming { prefix: "visual.trunk.", ..TIMM_IMAGE },
        OPEN_CLIP_IMAGE,
        Naming { prefix: "text.", ..OPEN_CLIP_TEXT },
        OPEN_CLIP_TEXT,
        TIMM_IMAGE,
    ];
    translated(weights, &["vision_model.", "text_model."], &namings)
}

/// Names the tensors of DINOv2 as transformers does.
///
/// # Errors
/// As [`towers`].
pub(crate) fn dinov2(weights: &Weights) -> Result<Weights> {
    translated(weights, &["embeddings.", "dinov2."], &[TIMM_DINO])
}

/// Translates a file none of whose names starts as transformers' do.
fn translated(weights: &Weights, known: &[&str], namings: &[Naming]) -> Result<Weights> {
    if weights.tensors().any(|(name, _)| known.iter().any(|start| name.starts_with(start))) {
        return Ok(weights.clone());
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in weights.tensors() {
        // timm's files of CLIP have a bias of zeros where CLIP has none.
        if name == "head.bias" && tensor.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()? == 0.0 {
            continue;
        }
        match namings.iter().find_map(|naming| naming.translate(name)) {
            Some(Translated::One(name, change)) => _ = tensors.insert(name, change.of(tensor)?),
            Some(Translated::Three(names)) => {
                tensors.extend(names.into_iter().zip(tensor.chunk(3, 0)?));
            }
            None => _ = tensors.insert(name.to_owned(), tensor.clone()),
        }
    }
    for part in ["weight", "bias"] {
        join(&mut tensors, &["q", "kv"].map(|of| format!("attn_pool.{of}.{part}")), part)?;
    }
    Ok(weights.with(tensors))
}

/// Makes one layer of the head's queries and its keys and values, as SigLIP's head in transformers has.
fn join(tensors: &mut BTreeMap<String, Tensor>, [queries, others]: &[String; 2], part: &str) -> Result<()> {
    for prefix in ["visual.trunk.", ""] {
        let [queries, others] = [queries, others].map(|name| format!("{prefix}{name}"));
        if let (Some(q), Some(kv)) = (tensors.get(&queries), tensors.get(&others)) {
            let all = Tensor::cat(&[q.to_dtype(DType::F32)?, kv.to_dtype(DType::F32)?], 0)?;
            tensors.retain(|name, _| *name != queries && *name != others);
            tensors.insert(format!("vision_model.head.attention.in_proj_{part}"), all);
        }
    }
    Ok(())
}

/// A tensor's name in transformers.
enum Translated {
    One(String, Change),
    /// Its thirds.
    Three([String; 3]),
}

impl Naming {
    /// Translates a name, unless it is none of this naming.
    fn translate(&self, name: &str) -> Option<Translated> {
        let name = name.strip_prefix(self.prefix)?;
        let [of_file, ours] = self.blocks;
        if let Some((block, part)) = name.strip_prefix(of_file).and_then(|rest| rest.split_once('.')) {
            let (inputs, three) = self.inputs;
            if let Some(end) = part.strip_prefix(inputs) {
                return Some(Translated::Three(three.map(|input| format!("{ours}{block}.{input}{end}"))));
            }
            let part = self.inside.iter().find_map(|(from, to)| renamed(part, from, to))?;
            return Some(Translated::One(format!("{ours}{block}.{part}"), Change::Same));
        }
        let one = |(from, to, change): &(&str, &str, Change)| Some((renamed(name, from, to)?, *change));
        self.outside.iter().find_map(one).map(|(name, change)| Translated::One(name, change))
    }
}

/// Renames a tensor, or those of a module, whose name ends in a dot.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    match from.ends_with('.') {
        true => Some(format!("{to}{}", name.strip_prefix(from)?)),
        false => (name == from).then(|| to.to_owned()),
    }
}

impl Change {
    fn of(self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Self::Transposed if tensor.rank() == 2 => tensor.t()?.contiguous(),
            // Those of fewer axes are refused by their shape.
            Self::Flat(rank) if tensor.rank() > rank => tensor.flatten_to(tensor.rank() - rank),
            _ => Ok(tensor.clone()),
        }
    }
}
