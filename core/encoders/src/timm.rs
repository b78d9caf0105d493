//! The names that timm's files have for the modules of torchvision's MobileNetV2 and VGG-16.
//!
//! timm's VGG-16 has torchvision's convolutions, and dense layers that are convolutions over the whole image
//! (`ConvMlp` in `timm/models/vgg.py`): the same numbers in the same order.
//!
//! Of MobileNetV2, timm (`InvertedResidual` and `DepthwiseSeparableConv` in `timm/models/_efficientnet_blocks.py`) counts
//! blocks within stages and names modules by their role; torchvision counts everything. Both have the same modules in the
//! same order.

/// The networks whose names are known, with a tensor that files have only under timm's.
pub(crate) const FIRST: [(&str, &str); 2] = [("mobilenet_v2", "conv_stem.weight"), ("vgg16", "pre_logits.fc1.weight")];

/// The blocks of each stage: column n of the paper's table 2.
const REPEATS: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];

/// Translates the name of a tensor of VGG-16's dense layers to timm's.
pub(crate) fn vgg16(name: &str) -> Option<String> {
    let layers = [("classifier.0.", "pre_logits.fc1."), ("classifier.3.", "pre_logits.fc2.")];
    layers.into_iter().find_map(|(layer, timm)| Some(format!("{timm}{}", name.strip_prefix(layer)?)))
}

/// Translates the name of a convolution of MobileNetV2 to timm's, and names the batch norm behind it.
pub(crate) fn mobilenet_v2(name: &str) -> Option<[String; 2]> {
    match name {
        "features.0.0" => Some(["conv_stem".into(), "bn1".into()]),
        "features.18.0" => Some(["conv_head".into(), "bn2".into()]),
        _ => block(name),
    }
}

/// Translates `features.BLOCK.conv.PART` to `blocks.STAGE.REPEAT.PART`.
fn block(name: &str) -> Option<[String; 2]> {
    let (index, part) = name.strip_prefix("features.")?.split_once(".conv.")?;
    let (stage, repeat) = position(index.parse::<usize>().ok()?.checked_sub(1)?)?;
    let modules = match (stage, part) {
        (0, "0.0") => ["conv_dw", "bn1"], // the first stage does not expand
        (0, "1") => ["conv_pw", "bn2"],
        (_, "0.0") => ["conv_pw", "bn1"],
        (_, "1.0") => ["conv_dw", "bn2"],
        (_, "2") => ["conv_pwl", "bn3"],
        _ => return None,
    };
    Some(modules.map(|module| format!("blocks.{stage}.{repeat}.{module}")))
}

/// Finds stage and repeat of a block.
fn position(mut block: usize) -> Option<(usize, usize)> {
    for (stage, repeats) in REPEATS.into_iter().enumerate() {
        if block < repeats {
            return Some((stage, block));
        }
        block -= repeats;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_layers_are_found_by_their_names() {
        assert_eq!(vgg16("classifier.3.bias").unwrap(), "pre_logits.fc2.bias");
        assert_eq!(vgg16("features.0.bias"), None);
    }

    #[test]
    fn modules_are_found_by_their_place_in_the_network() {
        for (torchvision, conv, norm) in [
            ("features.0.0", "conv_stem", "bn1"),
            ("features.1.conv.1", "blocks.0.0.conv_pw", "blocks.0.0.bn2"),
            ("features.3.conv.0.0", "blocks.1.1.conv_pw", "blocks.1.1.bn1"),
            ("features.17.conv.2", "blocks.6.0.conv_pwl", "blocks.6.0.bn3"),
            ("features.18.0", "conv_head", "bn2"),
        ] {
            assert_eq!(mobilenet_v2(torchvision), Some([conv.into(), norm.into()]));
        }
        for other in ["features.0.conv.0.0", "features.18.conv.0.0", "features.2.conv.3", "features.3.squeeze", "x"] {
            assert_eq!(mobilenet_v2(other), None, "{other}");
        }
    }
}
