//! Settings that do not apply to a method.

use hashlab_data::Modality;
use hashlab_settings::Settings;

use crate::catalog::MethodDecl;
use crate::diagnostic::{Diagnostic, Span};
use crate::scope::Scope;
use crate::section::{Section, names};

/// Reason why a key does not apply to the scope's method, to follow its name; `None` if it does.
fn objection(scope: Scope<'_>, section: Section, key: &str) -> Option<String> {
    let method = scope.method?;
    match section {
        Section::Train if !method.deep => return Some("is shallow".to_owned()),
        Section::Encoder(modality) => match method.needs.fixed() {
            Some(modalities) if !modalities.contains(&modality) => {
                return Some(format!("reads {} only", names(modalities.iter().copied())));
            }
            _ => {}
        },
        _ => {}
    }
    match scope.schema(section)?.applies_to(key)? {
        "deep" if !method.deep => Some("is shallow".to_owned()),
        "augmented" if !method.augmented => Some("draws no augmented views".to_owned()),
        _ => None,
    }
}

/// Reports a key of a method's own tables that does not apply to it. A key of a shared table is meant for other
/// methods.
pub(crate) fn check(scope: Scope<'_>, section: Section, key: &str, span: &Span) -> Option<Diagnostic> {
    let name = &scope.method?.name;
    let reason = objection(scope, section, key)?;
    let message = format!("method `{name}` {reason}, so `{}` does not apply to it", section.path(key));
    Some(Diagnostic::new(span, message).help("leave it out of this method"))
}

/// Removes the keys of a section that do not apply to the scope's method.
pub(crate) fn retain(scope: Scope<'_>, section: Section, settings: &mut Settings) {
    settings.retain(|key, _| objection(scope, section, key).is_none());
}

/// The sections that a method's runs read beside the shared ones, given their modalities.
pub(crate) fn sections(method: &MethodDecl, modalities: &[Modality]) -> Vec<Section> {
    let encoders = modalities.iter().map(|&modality| Section::Encoder(modality));
    let train = method.deep.then_some(Section::Train);
    [Section::Params].into_iter().chain(encoders).chain(train).collect()
}
