//! Text for pdfLaTeX: every character becomes ASCII that any TeX compiles, without packages.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

use crate::latex_symbols::{ACCENTS, FORMS};
use crate::wording::one_line;

/// Escapes a text on one line.
pub(crate) fn escape(text: &str) -> String {
    escape_characters(&one_line(text))
}

/// Escapes each character; a blank at an end stays.
pub(crate) fn escape_characters(text: &str) -> String {
    let mut out = String::new();
    let mut before = None;
    // Letters and accents of their own become one, for which TeX has a command.
    for c in text.nfc() {
        // TeX would set a dash for two hyphens, and other characters for these pairs.
        if matches!(
            (before, c),
            (Some('-'), '-') | (Some('?' | '!' | '`'), '`') | (Some('\''), '\'') | (Some(','), ',')
        ) {
            out.push_str("{}");
        }
        out.push_str(&character(c));
        before = Some(c);
    }
    out
}

fn character(c: char) -> String {
    if let Ok(found) = FORMS.binary_search_by_key(&c, |(known, _)| *known) {
        return FORMS[found].1.to_owned();
    }
    if c == ' ' || c.is_ascii_graphic() {
        return c.to_string();
    }
    accented(c).unwrap_or_else(|| code_point(c))
}

/// Stands for a character of which TeX's own fonts have no form.
fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// The characters of texts that are printed as code points.
pub(crate) fn lacking<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<char> {
    texts
        .flat_map(|text| one_line(text).nfc().collect::<Vec<_>>())
        .filter(|c| character(*c) == code_point(*c))
        .collect()
}

/// A letter with its accents; those that plain TeX lacks are dropped. Of other characters, none.
fn accented(c: char) -> Option<String> {
    let mut parts = Vec::new();
    decompose_canonical(c, |part| parts.push(part));
    let (letter, accents) = parts.split_first()?;
    let all_accents = accents.iter().all(|a| canonical_combining_class(*a) > 0);
    if !letter.is_ascii_alphabetic() || accents.is_empty() || !all_accents {
        return None;
    }
    // A dot would stand in the accent's way.
    let dotless = accents.iter().all(|a| canonical_combining_class(*a) == 230);
    let letter = match letter {
        'i' if dotless => "\\i".to_owned(),
        'j' if dotless => "\\j".to_owned(),
        letter => letter.to_string(),
    };
    let accent = |text: String, accent: &char| match ACCENTS.iter().find(|(known, _)| known == accent) {
        Some((_, command)) => format!("{command}{{{text}}}"),
        None => text,
    };
    Some(accents.iter().fold(letter, accent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_sorted() {
        assert!(FORMS.is_sorted_by_key(|(c, _)| *c), "the binary search needs it");
    }

    #[test]
    fn every_character_becomes_balanced_ascii() {
        for c in ('\0'..=char::MAX).filter(|c| !c.is_control()) {
            let latex = character(c);
            assert!(latex.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{c}: {latex}");
            let plain = latex.replace("\\{", "").replace("\\}", "").replace("\\$", "");
            let depth = plain.chars().fold(0, |d: i32, c| d + i32::from(c == '{') - i32::from(c == '}'));
            assert_eq!((depth, plain.matches('$').count() % 2), (0, 0), "{c}: {latex}");
        }
    }

    #[test]
    fn letters_keep_their_accents() {
        assert_eq!(
            escape("Erdős, Škoda, naïve, Ångström, Łódź"),
            "Erd\\H{o}s, \\v{S}koda, na\\\"{\\i}ve, \\r{A}ngstr\\\"{o}m, \\L{}\\'{o}d\\'{z}"
        );
        assert_eq!(escape("re\u{301}sume\u{301}"), "r\\'{e}sum\\'{e}", "accents as characters of their own");
        assert_eq!(escape("ẽ ṩ ą"), "\\~{e} \\.{\\d{s}} a", "an ogonek is no part of TeX's own encoding");
    }

    #[test]
    fn symbols_of_papers_are_set_as_such() {
        assert_eq!(
            escape("β ≥ ½, τ² … — “x” I→T"),
            "$\\beta$ $\\geq$ $\\frac{1}{2}$, $\\tau$$^2$ \\ldots{} --- ``x'' I$\\to$T"
        );
        assert_eq!(escape("--set x=[0]"), "-{}-set x={[}0]");
        assert_eq!(escape("汉字 🙂"), "U+6C49U+5B57 U+1F642");
        assert_eq!(escape("line\nbreak\u{1b}[1m"), "line break {[}1m");
    }
}
