//! Small encoders of the families of Hugging Face's transformers, whose names and shapes encoders.txt lists.

use safetensors::Dtype;

use super::{Tensor, numbers, tensor};

/// Every tensor of a family.
pub(crate) fn tensors(family: &str) -> Vec<(String, Tensor)> {
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let (of, name) = (words.next()?, words.next()?);
        let shape: Vec<usize> = words.map(|size| size.parse().unwrap()).collect();
        (of == family).then(|| (name.to_owned(), value(name, &shape)))
    };
    include_str!("../encoders.txt").lines().filter_map(parse).collect()
}

/// A tensor; factors of norms and layer scales are around one half.
fn value(name: &str, shape: &[usize]) -> Tensor {
    let norm = name.to_lowercase().contains("norm") && name.ends_with("weight");
    if shape.len() > 1 || !(norm || name.ends_with("lambda1")) {
        return tensor(name, shape);
    }
    let bytes = numbers(name, shape[0]).flat_map(|u| ((0.5 + 0.25 * u) as f32).to_le_bytes()).collect();
    Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

/// Every tensor of a registered image network: the small one's in the published sizes.
pub(crate) fn published(name: &str) -> Vec<(String, Tensor)> {
    let vit_b = |positions: [usize; 2]| vec![[128, 768], [192, 3072], [384, 2304], positions];
    let dino = |dim: usize| vec![[128, dim], [256, 4 * dim], [26, 1370]];
    match name {
        "clip_vit_b_32" | "laion_clip_vit_b_32" => {
            grown("clip", "vi", &[vit_b([10, 50]), vec![[24, 512], [16, 32]]].concat())
        }
        "clip_vit_b_16" => grown("clip", "vi", &[vit_b([10, 197]), vec![[24, 512]]].concat()),
        "siglip_base_16" => grown("siglip", "vi", &vit_b([9, 196])),
        "dinov2_s_14" => grown("dinov2", "", &dino(384)),
        "dinov2_b_14" => grown("dinov2", "", &dino(768)),
        other => panic!("no formula for `{other}`"),
    }
}

/// Every tensor of the text network of a family, with features of the published length and its positions.
pub(crate) fn published_text(family: &str) -> Vec<(String, Tensor)> {
    match family {
        "clip" => grown("clip", "text", &[[24, 512], [12, 77]]),
        "siglip" => grown("siglip", "text", &[[40, 768], [12, 64]]),
        "distilbert" => grown("distilbert", "", &[[128, 768], [12, 512]]),
        other => panic!("no formula for `{other}`"),
    }
}

/// The tensors of a family whose names start so, with other sizes and twelve blocks.
fn grown(family: &str, start: &str, sizes: &[[usize; 2]]) -> Vec<(String, Tensor)> {
    let size = |size: &usize| sizes.iter().find(|[small, _]| small == size).map_or(*size, |[_, grown]| *grown);
    let mut all = Vec::new();
    for (name, small) in tensors(family).into_iter().filter(|(name, _)| name.starts_with(start)) {
        let shape: Vec<usize> = small.shape.iter().map(size).collect();
        let blocks = match (name.contains(".0."), name.contains(".1.")) {
            (true, _) => 0..12,
            (false, true) => 0..0,
            (false, false) => 0..1,
        };
        all.extend(blocks.map(|block| {
            let name = name.replace(".0.", &format!(".{block}."));
            let tensor = value(&name, &shape);
            (name, tensor)
        }));
    }
    all
}
