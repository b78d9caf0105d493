//! Settings that can change the result of a method's runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashlab_data::Modality;
use hashlab_settings::Settings;

use crate::applicability;
use crate::layers::Merged;
use crate::section::Section;

/// The sections of a method's runs. Points of a grid share those that are the same.
pub(crate) type Tables = BTreeMap<Section, Arc<Settings>>;

/// The merged sections that the scope's method reads, without the keys that do not apply to it.
pub(crate) fn applicable(merged: &Merged<'_>, modalities: &[Modality]) -> BTreeMap<Section, Settings> {
    let sections = merged.scope.method.map(|method| applicability::sections(method, modalities));
    let table = |section: Section| {
        let mut settings = merged.table(section).clone();
        applicability::retain(merged.scope, section, &mut settings);
        (section, settings)
    };
    sections.into_iter().flatten().map(table).collect()
}

/// Removes the keys of a section that have no effect under the values of the others.
pub(crate) fn without_inactive(merged: &Merged<'_>, section: Section, mut settings: Settings) -> Settings {
    for key in merged.scope.schema(section).map(|schema| schema.inactive(&settings)).unwrap_or_default() {
        settings.shift_remove(key);
    }
    settings
}

/// Sections that [`applicable`] found, without inactive keys.
pub(crate) fn active(merged: &Merged<'_>, tables: &BTreeMap<Section, Settings>) -> Tables {
    let active = |section: Section, table: &Settings| Arc::new(without_inactive(merged, section, table.clone()));
    tables.iter().map(|(&section, table)| (section, active(section, table))).collect()
}
