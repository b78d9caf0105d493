//! Words and commands of a shell.

use std::fmt;

/// A command with the variables that it needs; displayed as a shell reads it.
#[derive(Clone, Debug)]
pub struct ShellCommand {
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Program and arguments.
    pub words: Vec<String>,
}

impl ShellCommand {
    /// The command with further arguments.
    #[must_use]
    pub fn with(&self, words: impl IntoIterator<Item = String>) -> Self {
        let Self { env, words: before } = self.clone();
        Self { env, words: before.into_iter().chain(words).collect() }
    }
}

impl fmt::Display for ShellCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env = self.env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words: Vec<String> = env.chain(self.words.iter().map(|word| quoted(word))).collect();
        f.write_str(&words.join(" "))
    }
}

/// A word as a shell reads it.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
