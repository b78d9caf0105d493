//! Text for terminals whose character set is not UTF-8.

use std::borrow::Cow;

/// Characters that the program prints, and what stands for them.
const REPLACED: [(char, &str); 20] = [
    ('━', "-"),
    ('─', "-"),
    ('–', "-"),
    ('—', "-"),
    ('−', "-"),
    ('±', "+/-"),
    ('×', "x"),
    ('→', ">"),
    ('≥', ">="),
    ('≤', "<="),
    ('…', "..."),
    ('“', "'"),
    ('”', "'"),
    ('‘', "'"),
    ('’', "'"),
    ('†', "#"),
    ('‡', "##"),
    ('²', "2"),
    ('·', "."),
    ('⇒', "=>"),
];

/// The text with ASCII in the place of the program's own symbols. Letters of names and labels stay as they are.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for symbol in text.chars() {
        match REPLACED.iter().find(|(known, _)| *known == symbol) {
            Some((_, instead)) => plain.push_str(instead),
            None => plain.push(symbol),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_become_ascii_and_letters_stay() {
        assert_eq!(ascii("━━ 0.5 ± 0.1 – τ “a” I→T"), "-- 0.5 +/- 0.1 - τ 'a' I>T");
        assert!(matches!(ascii("plain"), Cow::Borrowed("plain")));
    }
}
