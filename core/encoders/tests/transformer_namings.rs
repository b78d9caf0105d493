//! One network of each family in the namings in which its weights are found: transformers', open_clip's and timm's.
//!
//! The names and shapes of the others are those of `open_clip.create_model("ViT-B-32-quickgelu")`, `("ViT-B-16-SigLIP")`
//! (open_clip 3.3.0) and of timm 1.0.31's `vit_base_patch32_clip_quickgelu_224`, `vit_base_patch16_siglip_224` and
//! `vit_small_patch14_dinov2`.

mod formula;

use candle_core::Tensor as Candle;
use formula::encoders::tensors;
use formula::{Tensor, file};
use hashlab_encoders::{Encoder, Mode, TrainableEncoder, Weights, clip, dinov2, siglip, token_tensor};
use hashlab_kernels::device;

type Tensors = Vec<(String, Tensor)>;

fn frozen() -> Mode<'static> {
    Mode::Frozen(device::for_tests().into())
}

fn weights(tensors: &Tensors) -> Weights {
    Weights::from_bytes(&file(tensors, &[])).unwrap()
}

fn image_features(net: Box<dyn TrainableEncoder>, side: usize) -> Vec<f32> {
    let pixels: Vec<f32> = formula::numbers("images", side * side * 3).map(|u| u as f32).collect();
    let images = Candle::from_vec(pixels, (1, side, side, 3), device::for_tests()).unwrap();
    net.forward(&images).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn text_features(net: &dyn Encoder) -> Vec<f32> {
    let texts = token_tensor(&[vec![3u32, 7, 20, 59, 4, 1, 8, 9, 10, 11, 12, 59]], 12).unwrap();
    net.forward(&texts).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Side by side along the first axis.
fn joined(tensors: &[&Tensor]) -> Tensor {
    let mut shape = tensors[0].shape.clone();
    shape[0] = tensors.iter().map(|tensor| tensor.shape[0]).sum();
    let bytes = tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect();
    Tensor { dtype: tensors[0].dtype, shape, bytes }
}

/// A matrix of two-byte numbers with rows and columns exchanged.
fn transposed(tensor: &Tensor) -> Tensor {
    let &[rows, columns] = &tensor.shape[..] else { panic!("a matrix") };
    let number = |row: usize, column: usize| &tensor.bytes[2 * (row * columns + column)..][..2];
    let bytes = (0..columns).flat_map(|column| (0..rows).flat_map(move |row| number(row, column).to_vec())).collect();
    Tensor { shape: vec![columns, rows], bytes, ..tensor.clone() }
}

/// The rows from `start` on, `count` of them.
fn rows(tensor: &Tensor, start: usize, count: usize) -> Tensor {
    let row = tensor.bytes.len() / tensor.shape[0];
    let shape = [&[count], &tensor.shape[1..]].concat();
    Tensor { shape, bytes: tensor.bytes[start * row..][..count * row].to_vec(), ..tensor.clone() }
}

/// The tensors of a family that start so under other names; queries, keys and values become one.
fn under(family: &str, start: &[&str], names: &[[&str; 2]], [input, all]: [&str; 2]) -> Tensors {
    let mut others = Tensors::new();
    let every = tensors(family);
    let find = |name: &str| &every.iter().find(|(known, _)| known == name).unwrap().1;
    for (name, tensor) in every.iter().filter(|(name, _)| start.iter().any(|start| name.starts_with(start))) {
        let renamed = |name: &str| names.iter().fold(name.to_owned(), |name, [ours, other]| name.replace(ours, other));
        let inputs = ["q", "k", "v"].map(|kind| input.replace('*', kind).replace('#', long(kind)));
        match inputs.iter().position(|input| name.contains(input)) {
            None => others.push((renamed(name), tensor.clone())),
            Some(0) => {
                let three = inputs.each_ref().map(|input| find(&name.replace(&inputs[0], input)));
                others.push((renamed(&name.replace(&inputs[0], all)), joined(&three)));
            }
            Some(_) => {}
        }
    }
    others
}

fn long(kind: &str) -> &'static str {
    match kind {
        "q" => "query",
        "k" => "key",
        _ => "value",
    }
}

fn change(tensors: &mut Tensors, name: &str, change: impl Fn(&Tensor) -> Tensor) {
    let (_, tensor) = tensors.iter_mut().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}"));
    *tensor = change(tensor);
}

const OPEN_CLIP: [[&str; 2]; 14] = [
    ["vision_model.encoder.layers.", "visual.transformer.resblocks."],
    ["vision_model.embeddings.class_embedding", "visual.class_embedding"],
    ["vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"],
    ["vision_model.embeddings.patch_embedding", "visual.conv1"],
    ["vision_model.pre_layrnorm", "visual.ln_pre"],
    ["vision_model.post_layernorm", "visual.ln_post"],
    ["visual_projection.weight", "visual.proj"],
    ["layer_norm", "ln_"],
    ["self_attn.", "attn."],
    ["mlp.fc1", "mlp.c_fc"],
    ["mlp.fc2", "mlp.c_proj"],
    ["text_model.encoder.layers.", "transformer.resblocks."],
    ["text_model.final_ln_", "ln_final"],
    ["text_projection.weight", "text_projection"],
];

/// What precedes the others, since they change parts of it.
const OPEN_CLIP_TEXT: [[&str; 2]; 3] = [
    ["text_model.embeddings.position_embedding.weight", "positional_embedding"],
    ["text_model.embeddings.token_embedding", "token_embedding"],
    ["text_model.final_layer_norm", "ln_final"],
];

const TIMM: [[&str; 2]; 13] = [
    ["vision_model.embeddings.class_embedding", "cls_token"],
    ["vision_model.embeddings.position_embedding.weight", "pos_embed"],
    ["vision_model.embeddings.patch_embedding", "patch_embed.proj"],
    ["vision_model.pre_layrnorm", "norm_pre"],
    ["vision_model.post_layernorm", "norm"],
    ["visual_projection", "head"],
    ["vision_model.head.probe", "attn_pool.latent"],
    ["vision_model.head.attention.out_proj", "attn_pool.proj"],
    ["vision_model.head.layernorm", "attn_pool.norm"],
    ["vision_model.head.mlp", "attn_pool.mlp"],
    ["vision_model.encoder.layers", "blocks"],
    ["layer_norm", "norm"],
    ["self_attn.out_proj", "attn.proj"],
];

fn open_clip() -> Tensors {
    let names = [&OPEN_CLIP_TEXT[..], &OPEN_CLIP[..]].concat();
    let mut all = under("clip", &["vi", "text", "logit"], &names, ["self_attn.*_proj.", "attn.in_proj_"]);
    change(&mut all, "visual.proj", transposed);
    change(&mut all, "text_projection", transposed);
    all
}

/// An image network of timm.
fn timm(family: &str) -> Tensors {
    let mut all = under(family, &["vi"], &TIMM, ["self_attn.*_proj.", "attn.qkv."]);
    change(&mut all, "pos_embed", |tensor| Tensor { shape: [&[1], &tensor.shape[..]].concat(), ..tensor.clone() });
    if family == "clip" {
        change(&mut all, "cls_token", |tensor| Tensor { shape: vec![1, 1, tensor.shape[0]], ..tensor.clone() });
        let zeros = Tensor { dtype: safetensors::Dtype::F32, shape: vec![24], bytes: vec![0; 96] };
        all.push(("head.bias".into(), zeros));
        return all;
    }
    for part in ["weight", "bias"] {
        let name = format!("vision_model.head.attention.in_proj_{part}");
        let at = all.iter().position(|(known, _)| *known == name).unwrap();
        let (_, joint) = all.remove(at);
        let dim = joint.shape[0] / 3;
        all.push((format!("attn_pool.q.{part}"), rows(&joint, 0, dim)));
        all.push((format!("attn_pool.kv.{part}"), rows(&joint, dim, 2 * dim)));
    }
    all
}

fn prefixed(prefix: &str, tensors: Tensors) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

/// open_clip's SigLIP: timm's image network, and a text network of its own.
fn open_clip_siglip() -> Tensors {
    let names = [&OPEN_CLIP_TEXT[..], &[["text_model.head", "text_projection"]], &OPEN_CLIP[..]].concat();
    let text = under("siglip", &["text"], &names, ["self_attn.*_proj.", "attn.in_proj_"]);
    // The table's last rule is CLIP's.
    let text = text.into_iter().map(|(name, tensor)| match name.as_str() {
        "text_projection" => ("text_projection.weight".to_owned(), tensor),
        _ => (name, tensor),
    });
    [prefixed("visual.trunk.", timm("siglip")), prefixed("text.", text.collect())].concat()
}

fn timm_dino() -> Tensors {
    let names = [
        ["embeddings.cls_token", "cls_token"],
        ["embeddings.position_embeddings", "pos_embed"],
        ["embeddings.patch_embeddings.projection", "patch_embed.proj"],
        ["encoder.layer.", "blocks."],
        ["attention.output.dense", "attn.proj"],
        ["layer_scale1.lambda1", "ls1.gamma"],
        ["layer_scale2.lambda1", "ls2.gamma"],
        ["layernorm", "norm"],
    ];
    let all = under("dinov2", &["emb", "enc", "layernorm"], &names, ["attention.attention.#.", "attn.qkv."]);
    all.into_iter().filter(|(name, _)| name != "embeddings.mask_token").collect()
}

fn has(tensors: &Tensors, names: &[&str]) {
    for name in names {
        assert!(tensors.iter().any(|(known, _)| known == name), "{name}");
    }
}

#[test]
fn clip_is_the_same_under_every_name() {
    let [ours, open_clip, timm] = [tensors("clip"), open_clip(), timm("clip")];
    has(&open_clip, &["visual.transformer.resblocks.1.attn.in_proj_weight", "visual.proj", "ln_final.bias"]);
    has(&open_clip, &["token_embedding.weight", "transformer.resblocks.0.mlp.c_proj.bias", "text_projection"]);
    has(&timm, &["blocks.1.attn.qkv.bias", "norm_pre.weight", "norm.bias", "head.weight", "blocks.0.mlp.fc1.weight"]);
    let image = |tensors: &Tensors| image_features(clip::image(&weights(tensors), clip::OPENAI, frozen()).unwrap(), 48);
    let expected = image(&ours);
    assert!(expected.iter().any(|value| value.abs() > 1e-3));
    assert_eq!(image(&open_clip), expected);
    assert_eq!(image(&timm), expected);
    assert_eq!(image(&prefixed("module.model.", open_clip.clone())), expected);
    let text =
        |tensors: &Tensors| text_features(clip::text(&weights(tensors), clip::OPENAI, frozen()).unwrap().as_ref());
    assert_eq!(text(&open_clip), text(&ours));
}

#[test]
fn siglip_is_the_same_under_every_name() {
    let [ours, open_clip, timm] = [tensors("siglip"), open_clip_siglip(), timm("siglip")];
    has(&open_clip, &["visual.trunk.attn_pool.kv.weight", "text.transformer.resblocks.1.attn.in_proj_bias"]);
    has(&open_clip, &["text.text_projection.weight", "text.text_projection.bias", "text.positional_embedding"]);
    let image = |tensors: &Tensors| image_features(siglip::image(&weights(tensors), frozen()).unwrap(), 48);
    assert_eq!(image(&open_clip), image(&ours));
    assert_eq!(image(&timm), image(&ours));
    let text = |tensors: &Tensors| text_features(siglip::text(&weights(tensors), frozen()).unwrap().as_ref());
    assert_eq!(text(&open_clip), text(&ours));
}

#[test]
fn dinov2_is_the_same_under_timms_names() {
    let [ours, timm] = [tensors("dinov2"), timm_dino()];
    has(&timm, &["cls_token", "blocks.1.ls2.gamma", "blocks.0.attn.qkv.weight", "norm.weight"]);
    let image = |tensors: &Tensors| image_features(dinov2::image(&weights(tensors), frozen()).unwrap(), 70);
    assert_eq!(image(&timm), image(&ours));
}

#[test]
fn what_belongs_nowhere_is_named() {
    let refused =
        |tensors: &Tensors| clip::image(&weights(tensors), clip::OPENAI, frozen()).map(|_| ()).unwrap_err().to_string();
    let mut more = open_clip();
    more.push(("visual.novelty.weight".into(), more[1].1.clone()));
    assert!(refused(&more).contains("`visual.novelty.weight`"), "{}", refused(&more));
    let mut biased = timm("clip");
    biased.last_mut().unwrap().1.bytes[3] = 0x3f;
    assert!(refused(&biased).contains("`head.bias`"), "{}", refused(&biased));
    let less: Tensors = open_clip().into_iter().filter(|(name, _)| name != "visual.ln_post.bias").collect();
    assert!(refused(&less).contains("post_layernorm.bias` is missing"), "{}", refused(&less));
    let mut cut = open_clip();
    change(&mut cut, "visual.transformer.resblocks.0.attn.in_proj_bias", |tensor| rows(tensor, 0, 127));
    assert!(refused(&cut).contains("q_proj.bias"), "{}", refused(&cut));
}
