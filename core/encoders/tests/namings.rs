//! One MobileNetV2 in the three forms in which its weights are found: torchvision's and timm's with batch norms, and
//! folded.

mod formula;

use candle_core::{Device, Tensor};
use formula::{file, numbers, tensors};
use hashlab_encoders::{EncoderError, Weights, find_image};
use safetensors::Dtype;

type Tensors = Vec<(String, formula::Tensor)>;

/// A convolution without bias and the batch norm behind it.
struct Layer {
    /// The convolution in torchvision, and the norm.
    torchvision: [String; 2],
    /// The same in timm.
    timm: [String; 2],
    shape: Vec<usize>,
    weight: Vec<f64>,
    /// Weight, bias, running mean and running variance.
    norm: [Vec<f64>; 4],
}

const PARTS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

fn layers() -> Vec<Layer> {
    let convs = tensors("mobilenet_v2").into_iter().filter(|(name, _)| name.ends_with(".weight"));
    let layers: Vec<Layer> = convs.zip(timm_names()).map(|((name, tensor), timm)| layer(&name, tensor, timm)).collect();
    assert_eq!(layers.len(), 52);
    layers
}

fn layer(name: &str, tensor: formula::Tensor, timm: [String; 2]) -> Layer {
    let conv = name.strip_suffix(".weight").unwrap();
    let (sequence, index) = conv.rsplit_once('.').unwrap();
    let norm = format!("{sequence}.{}", index.parse::<usize>().unwrap() + 1);
    let weight = tensor.bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect();
    let draw = |part: &str, center: f64, width: f64| {
        numbers(&format!("{norm}.{part}"), tensor.shape[0]).map(|u| f64::from((center + width * u) as f32)).collect()
    };
    let statistics = [
        draw("weight", 1.0, 0.3),
        draw("bias", 0.0, 0.1),
        draw("running_mean", 0.0, 0.1),
        draw("running_var", 1.0, 0.5),
    ];
    Layer { torchvision: [conv.to_owned(), norm.clone()], timm, shape: tensor.shape, weight, norm: statistics }
}

/// Names of `list(timm.create_model("mobilenetv2_100").state_dict())`, in its order.
fn timm_names() -> Vec<[String; 2]> {
    let mut names = vec![["conv_stem".to_owned(), "bn1".to_owned()]];
    for (stage, repeats) in [1, 2, 3, 4, 3, 3, 1].into_iter().enumerate() {
        let modules: &[[&str; 2]] = match stage {
            0 => &[["conv_dw", "bn1"], ["conv_pw", "bn2"]],
            _ => &[["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
        };
        for repeat in 0..repeats {
            names.extend(modules.iter().map(|pair| pair.map(|module| format!("blocks.{stage}.{repeat}.{module}"))));
        }
    }
    names.push(["conv_head".to_owned(), "bn2".to_owned()]);
    names
}

fn floats(name: String, shape: &[usize], values: &[f64]) -> (String, formula::Tensor) {
    let bytes = values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
    (name, formula::Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes })
}

/// A file with batch norms, their counters and a classifier.
fn unfolded(layers: &[Layer], names: impl Fn(&Layer) -> &[String; 2], classifier: &str) -> Tensors {
    let mut tensors = vec![floats(classifier.to_owned(), &[2], &[0.0; 2])];
    for layer in layers {
        let [conv, norm] = names(layer);
        tensors.push(floats(format!("{conv}.weight"), &layer.shape, &layer.weight));
        for (part, values) in PARTS.iter().zip(&layer.norm) {
            tensors.push(floats(format!("{norm}.{part}"), &layer.shape[..1], values));
        }
        let counter = formula::Tensor { dtype: Dtype::I64, shape: vec![], bytes: vec![0; 8] };
        tensors.push((format!("{norm}.num_batches_tracked"), counter));
    }
    tensors
}

/// The same network, its norms folded in double precision.
fn folded(layers: &[Layer]) -> Tensors {
    let mut tensors = Vec::new();
    for Layer { torchvision: [conv, _], shape, weight, norm: [gain, shift, mean, variance], .. } in layers {
        let scale: Vec<f64> = gain.iter().zip(variance).map(|(g, v)| g / (v + 1e-5).sqrt()).collect();
        let per_channel = weight.len() / shape[0];
        let weights: Vec<f64> = weight.iter().enumerate().map(|(i, w)| w * scale[i / per_channel]).collect();
        let biases: Vec<f64> = (0..shape[0]).map(|c| shift[c] - mean[c] * scale[c]).collect();
        tensors.push(floats(format!("{conv}.weight"), shape, &weights));
        tensors.push(floats(format!("{conv}.bias"), &shape[..1], &biases));
    }
    tensors
}

fn features(tensors: &Tensors) -> Result<Vec<f32>, EncoderError> {
    let images: Vec<f32> = numbers("images", 32 * 32 * 3).map(|u| u as f32).collect();
    let images = Tensor::from_vec(images, (1, 32, 32, 3), &Device::Cpu)?;
    let weights = Weights::from_bytes(&file(tensors, &[("format", "pt")]))?;
    let encoder = (find_image("mobilenet_v2").unwrap().open)(Some(&weights), 0, (&Device::Cpu).into())?;
    Ok(encoder.forward(&images)?.flatten_all()?.to_vec1::<f32>()?)
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 1e-3, "the features are not all zero");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-4 * largest, "{found} against {expected}, the largest being {largest}");
    }
}

#[test]
fn every_form_gives_the_same_features() {
    let layers = layers();
    let expected = features(&folded(&layers)).unwrap();
    let torchvision = unfolded(&layers, |layer| &layer.torchvision, "classifier.1.weight");
    let timm = unfolded(&layers, |layer| &layer.timm, "classifier.weight");
    assert_close(&features(&torchvision).unwrap(), &expected);
    assert_close(&features(&timm).unwrap(), &expected);
}

#[test]
fn mistakes_are_told_in_the_names_of_the_file() {
    let message = |tensors: &Tensors| features(tensors).unwrap_err().to_string();
    let whole = unfolded(&layers(), |layer| &layer.timm, "classifier.weight");
    let without = |name: &str| whole.iter().filter(|(n, _)| n != name).cloned().collect::<Tensors>();
    assert!(message(&without("blocks.6.0.conv_pwl.weight")).contains("`blocks.6.0.conv_pwl.weight` is missing"));
    assert!(message(&without("blocks.2.1.bn2.weight")).contains("`blocks.2.1.bn2.weight` is missing"));
    let mut more = whole.clone();
    more.push(floats("blocks.7.0.conv_pw.weight".into(), &[2], &[0.0; 2]));
    assert!(message(&more).contains("`blocks.7.0.conv_pw.weight` of shape [2] has no place"));
}

#[test]
fn unknown_names_are_shown_with_the_known_ones() {
    let names = ["encoder.stem.weight", "encoder.stem.bias", "head.weight", "zz"];
    let other: Tensors = names.iter().map(|name| floats((*name).into(), &[1], &[0.0])).collect();
    let message = features(&other).unwrap_err().to_string();
    for part in ["`encoder.stem.bias`, `encoder.stem.weight`, `head.weight`, …", "torchvision", "timm", "mobilenet_v2"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(features(&Vec::new()).unwrap_err().to_string().contains("the file holds no tensors"));
}

/// timm's VGG-16 has dense layers that are convolutions over the whole image.
#[test]
fn timms_vgg16_is_torchvisions() {
    let torchvision = formula::tensors("vgg16");
    let timm: Tensors = torchvision
        .iter()
        .map(|(name, tensor)| {
            let shape = match name.as_str() {
                "classifier.0.weight" => vec![4096, 512, 7, 7],
                "classifier.3.weight" => vec![4096, 4096, 1, 1],
                _ => tensor.shape.clone(),
            };
            let name = name.replace("classifier.0.", "pre_logits.fc1.").replace("classifier.3.", "pre_logits.fc2.");
            (name, formula::Tensor { shape, ..tensor.clone() })
        })
        .chain([floats("head.fc.weight".into(), &[2, 4096], &[0.0; 2 * 4096])])
        .collect();
    assert!(timm.iter().any(|(name, _)| name == "pre_logits.fc2.bias"));
    let encoder = find_image("vgg16").unwrap();
    let images: Vec<f32> = numbers("images", 32 * 32 * 3).map(|u| u as f32).collect();
    let images = Tensor::from_vec(images, (1, 32, 32, 3), &Device::Cpu).unwrap();
    let [expected, found] = [torchvision, timm].map(|tensors| {
        let weights = Weights::from_bytes(&file(&tensors, &[])).unwrap();
        let features = (encoder.open)(Some(&weights), 0, (&Device::Cpu).into()).unwrap().forward(&images).unwrap();
        let cut = encoder.cut.as_ref().unwrap();
        let trunk = (cut.trunk)(Some(&weights), 0, (&Device::Cpu).into()).unwrap().forward(&images).unwrap();
        let tail = (cut.tail)(Some(&weights), &Device::Cpu).unwrap().forward(&trunk).unwrap();
        [features, tail].map(|features| features.flatten_all().unwrap().to_vec1::<f32>().unwrap())
    });
    assert_eq!(found, expected);
}

/// As `DistributedDataParallel` and training loops save a network.
#[test]
fn prefixes_of_wrappers_are_taken_off() {
    let plain = folded(&layers());
    let wrapped = |prefix: &str| plain.iter().map(|(name, t)| (format!("{prefix}{name}"), t.clone())).collect();
    let expected = features(&plain).unwrap();
    for prefix in ["module.", "model.", "module.model."] {
        assert_eq!(features(&wrapped(prefix)).unwrap(), expected);
    }
    let mut one: Tensors = wrapped("module.");
    one.push(floats("step".into(), &[1], &[0.0]));
    assert!(features(&one).unwrap_err().to_string().contains("`module.features.0.0.bias`"));
}
