//! Files as torchvision writes them: with unfolded batch norms and the classifier.

use safetensors::Dtype;

use super::{Tensor, conv, numbers, tensor};

type Tensors = Vec<(String, Tensor)>;

/// Every tensor of `encoder`.
pub(crate) fn tensors(encoder: &str) -> Tensors {
    match encoder {
        "resnet18" => resnet([2, 2, 2, 2], 1),
        "resnet34" => resnet([3, 4, 6, 3], 1),
        "resnet50" => resnet([3, 4, 6, 3], 4),
        "resnet101" => resnet([3, 4, 23, 3], 4),
        "vgg16" => vgg16(),
        "alexnet" => alexnet(),
        "vit_b_16" => vit_b_16(),
        "mobilenet_v2.normed" => mobilenet_v2(),
        other => super::encoders::published(other),
    }
}

fn resnet(blocks: [usize; 4], expansion: usize) -> Tensors {
    let mut all = normed("conv1", "bn1", [64, 3, 7, 7]);
    let mut channels = 64;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        let (width, out) = (64 << stage, (64 << stage) * expansion);
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let shapes = match expansion {
                1 => vec![[width, channels, 3, 3], [width, width, 3, 3]],
                _ => vec![[width, channels, 1, 1], [width, width, 3, 3], [out, width, 1, 1]],
            };
            for (index, shape) in (1..).zip(shapes) {
                all.extend(normed(&format!("{name}.conv{index}"), &format!("{name}.bn{index}"), shape));
            }
            if block == 0 && (stage > 0 || expansion > 1) {
                let [conv, norm] = [0, 1].map(|part| format!("{name}.downsample.{part}"));
                all.extend(normed(&conv, &norm, [out, channels, 1, 1]));
            }
            channels = out;
        }
    }
    all.extend(dense("fc", [10, channels]));
    all
}

/// MobileNetV2 with its batch norms, each behind its convolution in a sequence.
fn mobilenet_v2() -> Tensors {
    let layer = |(conv, shape): (String, [usize; 4])| {
        let (sequence, index) = conv.rsplit_once('.').unwrap();
        let norm = format!("{sequence}.{}", index.parse::<usize>().unwrap() + 1);
        normed(&conv, &norm, shape)
    };
    super::mobilenet_v2().into_iter().flat_map(layer).chain(dense("classifier.1", [10, 1280])).collect()
}

fn vgg16() -> Tensors {
    let (mut index, mut channels, mut all) = (0, 3, Vec::new());
    for (width, convs) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..convs {
            all.extend(conv(&format!("features.{index}"), [width, channels, 3, 3]));
            (index, channels) = (index + 2, width);
        }
        index += 1;
    }
    all.extend(dense("classifier.0", [4096, 512 * 7 * 7]));
    all.extend(dense("classifier.3", [4096, 4096]));
    all.extend(dense("classifier.6", [10, 4096]));
    all
}

fn alexnet() -> Tensors {
    let convs: [(usize, [usize; 4]); 5] = [
        (0, [64, 3, 11, 11]),
        (3, [192, 64, 5, 5]),
        (6, [384, 192, 3, 3]),
        (8, [256, 384, 3, 3]),
        (10, [256, 256, 3, 3]),
    ];
    let mut all: Tensors =
        convs.into_iter().flat_map(|(index, shape)| conv(&format!("features.{index}"), shape)).collect();
    all.extend(dense("classifier.1", [4096, 256 * 6 * 6]));
    all.extend(dense("classifier.4", [4096, 4096]));
    all.extend(dense("classifier.6", [10, 4096]));
    all
}

pub(super) fn dense(name: &str, shape: [usize; 2]) -> [(String, Tensor); 2] {
    let parts = [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![shape[0]])];
    parts.map(|(name, shape)| (name.clone(), tensor(&name, &shape)))
}

/// A convolution without bias and its batch norm, which halves activations: a sum of many blocks must not explode.
fn normed(conv: &str, norm: &str, shape: [usize; 4]) -> Tensors {
    let weight = format!("{conv}.weight");
    let mut all = vec![(weight.clone(), tensor(&weight, &shape))];
    all.extend(norm_parts(norm, shape[0], &["weight", "bias", "running_mean", "running_var"]));
    let counter = Tensor { dtype: Dtype::I64, shape: vec![], bytes: vec![0; 8] };
    all.push((format!("{norm}.num_batches_tracked"), counter));
    all
}

/// Vectors of a norm by their center and spread.
pub(super) fn norm_parts(norm: &str, len: usize, parts: &[&str]) -> Tensors {
    let part = |part: &&str| {
        let (center, spread) = match *part {
            "weight" => (0.5, 0.25),
            "running_var" => (1.0, 0.5),
            _ => (0.0, 0.1),
        };
        let name = format!("{norm}.{part}");
        let bytes = numbers(&name, len).flat_map(|u| ((center + spread * u) as f32).to_le_bytes()).collect();
        (name, Tensor { dtype: Dtype::F32, shape: vec![len], bytes })
    };
    parts.iter().map(part).collect()
}

fn vit_b_16() -> Tensors {
    const DIM: usize = 768;
    let mut all: Tensors = [("class_token", [1, 1, DIM]), ("encoder.pos_embedding", [1, 197, DIM])]
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), tensor(name, &shape)))
        .collect();
    all.extend(conv("conv_proj", [DIM, 3, 16, 16]));
    for layer in 0..12 {
        let name = |part: &str| format!("encoder.layers.encoder_layer_{layer}.{part}");
        for (part, shape) in [("in_proj_weight", vec![3 * DIM, DIM]), ("in_proj_bias", vec![3 * DIM])] {
            let name = name(&format!("self_attention.{part}"));
            all.push((name.clone(), tensor(&name, &shape)));
        }
        all.extend(dense(&name("self_attention.out_proj"), [DIM, DIM]));
        all.extend(dense(&name("mlp.0"), [4 * DIM, DIM]));
        all.extend(dense(&name("mlp.3"), [DIM, 4 * DIM]));
        all.extend(["ln_1", "ln_2"].into_iter().flat_map(|ln| norm_parts(&name(ln), DIM, &["weight", "bias"])));
    }
    all.extend(norm_parts("encoder.ln", DIM, &["weight", "bias"]));
    all.extend(dense("heads.head", [10, DIM]));
    all
}
