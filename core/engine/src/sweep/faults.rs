//! Checks complete tables: ranges, and constraints between keys.
//!
//! A value is judged in the table it ends up in, never alone: `warmup = 5` may be wrong beside the default `epochs`
//! and right beside the one the file sets.

use super::diagnose::{Mistake, Place};
use super::keys::Scope;
use super::layer::{Resolved, Section, Setting};
use crate::{Schema, SchemaError, Settings};

/// Finds every rule that some sections break after the merge of `stack`. A fault that no single setting explains is
/// blamed on `owner`.
pub(crate) fn faults(scope: Scope<'_>, stack: &[&[Setting]], sections: &[Section], owner: &Place) -> Vec<Mistake> {
    let resolved = Resolved::merge(scope, stack);
    let check = |section: &Section| table_faults(scope, stack, *section, resolved.table(*section).clone(), owner);
    sections.iter().flat_map(check).collect()
}

/// Finds every rule that a table breaks: takes the setting to blame back to its default and looks again.
fn table_faults(
    scope: Scope<'_>,
    stack: &[&[Setting]],
    section: Section,
    mut table: Settings,
    owner: &Place,
) -> Vec<Mistake> {
    let Some(schema) = scope.schema(section) else { return Vec::new() };
    let settings = effective(stack, section);
    let mut mistakes = Vec::new();
    while let Err(error) = (schema.check)(&table) {
        let Some(setting) = culprit(&table, schema, &settings, &error) else {
            mistakes.push(Mistake::new(owner, error.message));
            break;
        };
        let mistake = Mistake::new(&setting.place, error.message);
        mistakes.push(scope.keys(Some(section)).with_default(mistake, &setting.key));
        reset(&mut table, schema, &setting.key);
    }
    mistakes
}

/// The settings of a section that count, each with the height of its layer, the uppermost first.
fn effective<'a>(stack: &[&'a [Setting]], section: Section) -> Vec<(usize, &'a Setting)> {
    let mut settings: Vec<(usize, &Setting)> = Vec::new();
    for (height, layer) in stack.iter().enumerate().rev() {
        for setting in layer.iter().rev().filter(|s| s.section == Some(section)) {
            if !settings.iter().any(|(_, above)| above.same_key(setting)) {
                settings.push((height, setting));
            }
        }
    }
    settings
}

/// Finds the setting to blame: the uppermost whose default would mend the fault, as what lies below it was in order
/// without it. In one layer it is the key that the schema names.
fn culprit<'a>(
    table: &Settings,
    schema: &Schema,
    settings: &[(usize, &'a Setting)],
    error: &SchemaError,
) -> Option<&'a Setting> {
    let mends = |setting: &Setting| {
        let mut mended = table.clone();
        reset(&mut mended, schema, &setting.key);
        mended != *table && (schema.check)(&mended).err().is_none_or(|other| !same_fault(&other, error))
    };
    let mut mending: Vec<_> = settings.iter().filter(|(_, setting)| mends(setting)).collect();
    mending.sort_by_key(|(height, setting)| (std::cmp::Reverse(*height), error.key.as_ref() != Some(&setting.key)));
    mending.first().map(|(_, setting)| *setting)
}

/// Whether a table still breaks the same rule. Messages may quote values, so a key says more than its message.
fn same_fault(one: &SchemaError, other: &SchemaError) -> bool {
    if one.key.is_some() { one.key == other.key } else { one == other }
}

fn reset(table: &mut Settings, schema: &Schema, key: &str) {
    if let Some(default) = schema.defaults.get(key) {
        table.insert(key.to_owned(), default.clone());
    }
}
