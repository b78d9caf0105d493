//! Help for misspelled words.

pub(crate) use hashlab_settings::{did_you_mean, nearest};

/// The TOML form of `text`, e.g. `0.001` for `.001` and `true` for `True`.
/// Where `lists` are expected, `0,1` is one.
pub(crate) fn in_toml(text: &str, lists: bool) -> Option<String> {
    let (text, comment) = match text.split_once('#') {
        Some((value, _)) => (value.trim_end(), true),
        None => (text, false),
    };
    let lowercase = text.to_ascii_lowercase();
    let word = ["true", "false"].contains(&lowercase.as_str());
    let list = || {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let integers = parts.len() > 1 && parts.iter().all(|part| part.parse::<u64>().is_ok());
        (lists && integers).then(|| format!("[{}]", parts.join(", ")))
    };
    let number = || {
        let point = text.replacen(',', ".", 1);
        let plain = point.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number = point.parse::<f64>().ok().filter(|number| plain && number.is_finite())?;
        Some(if point.contains(['.', 'e', 'E']) { format!("{number:?}") } else { point })
    };
    let meant = if word { Some(lowercase) } else { list().or_else(number) }?;
    let without = if comment { " without the comment" } else { "" };
    Some(format!("write `{meant}`{without}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_without_brackets_get_them() {
        assert_eq!(in_toml("0,1", true).as_deref(), Some("write `[0, 1]`"));
        assert_eq!(in_toml("0,1", false).as_deref(), Some("write `0.1`"), "a decimal comma");
        assert_eq!(in_toml("5", true).as_deref(), Some("write `5`"));
    }

    #[test]
    fn values_of_other_languages_are_understood() {
        let hints = [
            (".001", "write `0.001`"),
            ("-.5", "write `-0.5`"),
            ("5.", "write `5.0`"),
            ("0,5", "write `0.5`"),
            ("True", "write `true`"),
            ("FALSE", "write `false`"),
            ("5 # epochs", "write `5` without the comment"),
        ];
        for (text, hint) in hints {
            assert_eq!(in_toml(text, false).as_deref(), Some(hint), "{text}");
        }
        for word in ["", "fast", "nan", "inf", "cosine", "1.2.3", "a#b"] {
            assert_eq!(in_toml(word, false), None, "{word}");
        }
    }
}
