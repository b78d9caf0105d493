//! Rules that the sections `[image]` and `[text]` share.

use hashlab_data::Modality;
use hashlab_encoders::EncoderEntry;
use hashlab_settings::{Params, Settings, Violations, did_you_mean};

/// Reads a complete section; `None` if it does not fit its type.
pub(super) fn read<T: Params>(settings: &Settings) -> Option<T> {
    serde_json::from_value(settings.clone().into()).ok()
}

/// The modality of an encoder.
fn modality(entry: &EncoderEntry) -> Modality {
    match entry {
        EncoderEntry::Image(_) => Modality::Image,
        EncoderEntry::Text(_) => Modality::Text,
    }
}

/// Reports a name that no encoder of this modality has.
pub(super) fn unknown(of: Modality, name: &str, encoders: &[EncoderEntry]) -> Violations {
    let known =
        encoders.iter().filter(|entry| modality(entry) == of).map(EncoderEntry::name).chain([super::NO_ENCODER]);
    let known = did_you_mean(name, known);
    let other = encoders.iter().find(|entry| entry.name() == name);
    let found = other.map_or(format!("got `{name}`"), |other| format!("and `{name}` encodes {}s", modality(other)));
    Violations::one(["encoder"], format!("`encoder` must be an encoder of {of}s, {found}; {known}"))
}

/// Reports `finetune` of an encoder that stays frozen.
pub(super) fn check_trainable(of: Modality, finetune: bool, name: &str, encoders: &[EncoderEntry]) -> Violations {
    let trainable = encoders.iter().filter(|entry| modality(entry) == of && entry.is_trainable());
    let names: Vec<&str> = trainable.map(EncoderEntry::name).collect();
    let message = format!("`finetune` does not apply to `{name}`, which stays frozen; known: {}", names.join(", "));
    Violations::none().require(!finetune || names.contains(&name), ["finetune", "encoder"], message)
}
