//! The list of all encoders.

use crate::{
    EncoderEntry, ImageEntry, TextEntry, alexnet, bert, clip, convnet, dinov2, filterbank, mobilenet_v2, resnet,
    siglip, squeezenet1_1, vgg16, vit_b_16,
};

/// Every encoder, those of images first.
pub const ENCODERS: &[EncoderEntry] = &[
    EncoderEntry::Image(convnet::ENTRY),
    EncoderEntry::Image(filterbank::ENTRY),
    EncoderEntry::Image(mobilenet_v2::ENTRY),
    EncoderEntry::Image(squeezenet1_1::ENTRY),
    EncoderEntry::Image(resnet::RESNET18),
    EncoderEntry::Image(resnet::RESNET34),
    EncoderEntry::Image(resnet::RESNET50),
    EncoderEntry::Image(resnet::RESNET101),
    EncoderEntry::Image(vgg16::ENTRY),
    EncoderEntry::Image(alexnet::ENTRY),
    EncoderEntry::Image(vit_b_16::ENTRY),
    EncoderEntry::Image(clip::VIT_B_32),
    EncoderEntry::Image(clip::VIT_B_16),
    EncoderEntry::Image(clip::LAION_VIT_B_32),
    EncoderEntry::Image(siglip::BASE_16),
    EncoderEntry::Image(dinov2::S_14),
    EncoderEntry::Image(dinov2::B_14),
    EncoderEntry::Text(bert::MINILM),
    EncoderEntry::Text(bert::BERT_BASE),
    EncoderEntry::Text(bert::DISTILBERT),
    EncoderEntry::Text(clip::TEXT_VIT_B_32),
    EncoderEntry::Text(clip::TEXT_VIT_B_16),
    EncoderEntry::Text(clip::TEXT_LAION_VIT_B_32),
    EncoderEntry::Text(siglip::TEXT_BASE_16),
];

/// Finds an encoder of images in [`ENCODERS`] by name.
pub fn find_image(name: &str) -> Option<&'static ImageEntry> {
    ENCODERS.iter().filter_map(EncoderEntry::image).find(|entry| entry.name == name)
}

/// Finds an encoder of texts in [`ENCODERS`] by name.
pub fn find_text(name: &str) -> Option<&'static TextEntry> {
    ENCODERS.iter().filter_map(EncoderEntry::text).find(|entry| entry.name == name)
}
