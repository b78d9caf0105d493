//! Values and keys as TOML writes them.

use serde_json::Value;

/// A value on one line. A `null`, which TOML does not have, is left out of tables and lists.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().filter(|item| !item.is_null()).map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<String> = set.map(|(key, value)| format!("{} = {}", key_text(key), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// A key, in quotes if it holds anything but letters, digits, `_` and `-`.
pub(crate) fn key_text(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { toml::Value::String(key.to_owned()).to_string() }
}
