//! What every run asks a data set for.

use hashlab_data::{Dataset, ItemData, Modality};

/// Asks for splits, labels, images, texts and features; errors are answers, too.
pub(crate) fn look(set: &dyn Dataset) {
    for protocol in &set.info().protocols {
        let _ = set.split(&protocol.name, 0);
    }
    for item in [0, set.len().saturating_sub(1)].into_iter().filter(|item| *item < set.len()) {
        let _ = set.labels().classes_of(item);
        if let Some(ItemData::Images(images)) = set.data(Modality::Image) {
            let _ = images.image(item);
        }
        if let Some(ItemData::Texts(texts)) = set.data(Modality::Text) {
            (0..texts.captions()).for_each(|caption| _ = texts.text(item, caption));
        }
        if let Some(ItemData::Features(features)) = set.data(Modality::Image) {
            let _ = features.read(&[item as u32], 0, &mut vec![0.0; features.dim()]);
        }
    }
}
