//! A file that is one table of settings, such as a profile of a cluster.

use std::path::Path;

use hashlab_settings::{Schema, Settings};

use crate::diagnostic::{Diagnostic, Diagnostics, SourceText, Span};
use crate::suggest::did_you_mean;
use crate::toml_tree;
use crate::typed_value;

/// Reads a table of settings from a file's text, and checks it. `path` names the file in diagnostics.
///
/// # Errors
/// Every mistake with its line, or the first error of syntax.
pub fn read_table(text: &str, path: &Path, schema: &Schema) -> Result<Settings, Diagnostics> {
    let sources = || vec![SourceText { path: Some(path.display().to_string()), text: text.to_owned() }];
    let fields = toml_tree::document(text, 0).map_err(|wrong| Diagnostics::new(sources(), wrong))?;
    let (mut settings, mut wrong) = (Settings::new(), Vec::new());
    for field in &fields {
        match schema.value_type(&field.key) {
            None => {
                let diagnostic = Diagnostic::new(&field.span, format!("there is no key `{}`", field.key));
                wrong.push(diagnostic.help(did_you_mean(&field.key, schema.defaults.keys().map(String::as_str))));
            }
            Some(expected) => match typed_value::check(&field.key, expected, &field.node) {
                Ok(value) => _ = settings.insert(field.key.clone(), value),
                Err(mismatches) => wrong.extend(mismatches),
            },
        }
    }
    if wrong.is_empty() {
        wrong.extend(schema.check(&settings).iter().map(|violation| {
            let field = fields.iter().find(|field| violation.keys.contains(&field.key));
            Diagnostic::new(&field.map_or_else(Span::file, |field| field.node.span.clone()), violation.message.clone())
        }));
    }
    if wrong.is_empty() { Ok(settings) } else { Err(Diagnostics::new(sources(), wrong)) }
}
