//! Where the codes of an external row lie: a path with places for what differs between its files.

use hashlab_data::Modality;
use serde::{Deserialize, Serialize};

/// The path of files of codes, e.g. `hashnet_{bits}_{seed}.npz#{side}`.
#[derive(Clone, Debug)]
pub(crate) struct CodesPath {
    text: String,
    pieces: Vec<Piece>,
}

/// The role of a file's items; without one, it holds all items of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The queries of the protocol, in their order.
    Query,
    /// The database of the protocol, in its order.
    Database,
    /// Every item of the data set, in its order.
    All,
}

impl Side {
    /// Name in files and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Database => "database",
            Self::All => "all",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Bits,
    Seed,
    /// The words for queries and database.
    Side([String; 2]),
    /// The words for images and texts.
    Modality([String; 2]),
}

impl CodesPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, [String; 2]> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((place, behind)) = behind.split_once('}') else {
                let help = "write a place as `{bits}`, `{seed}`, `{side}` or `{modality}`";
                return Err([format!("`codes` opens a place with `{{` and does not close it: {text:?}"), help.into()]);
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::parse(place)?);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The path as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn differs_by_bits(&self) -> bool {
        self.pieces.contains(&Piece::Bits)
    }

    pub(crate) fn differs_by_seed(&self) -> bool {
        self.pieces.contains(&Piece::Seed)
    }

    pub(crate) fn differs_by_modality(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Modality(_)))
    }

    /// The roles that have files of their own.
    pub(crate) fn sides(&self) -> &'static [Side] {
        let apart = self.pieces.iter().any(|piece| matches!(piece, Piece::Side(_)));
        if apart { &[Side::Query, Side::Database] } else { &[Side::All] }
    }

    /// The path of a file.
    pub(crate) fn of(&self, bits: usize, seed: u64, side: Side, modality: Modality) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Bits => bits.to_string(),
            Piece::Seed => seed.to_string(),
            Piece::Side(words) => words[usize::from(side == Side::Database)].clone(),
            Piece::Modality(words) => words[usize::from(modality == Modality::Text)].clone(),
        };
        self.pieces.iter().map(text).collect()
    }
}

impl Piece {
    fn parse(place: &str) -> Result<Self, [String; 2]> {
        let (name, words) = place.split_once(':').map_or((place, None), |(name, words)| (name, Some(words)));
        let pair = |default: [&str; 2]| match words.map(|words| words.split('|').collect::<Vec<_>>()) {
            None => Ok(default.map(str::to_owned)),
            Some(words) if words.len() == 2 && words[0] != words[1] => Ok([words[0].to_owned(), words[1].to_owned()]),
            Some(_) => {
                let [first, second] = default;
                let help =
                    format!("write `{{{name}:A|B}}`, with the word for {first} first and that for {second} behind it");
                Err([format!("`{{{place}}}` in `codes` does not name two words"), help])
            }
        };
        match (name, words) {
            ("bits", None) => Ok(Self::Bits),
            ("seed", None) => Ok(Self::Seed),
            ("side", _) => pair(["query", "database"]).map(Self::Side),
            ("modality", _) => pair(["image", "text"]).map(Self::Modality),
            _ => {
                let help =
                    "known: `{bits}`, `{seed}`, `{side}`, `{side:test|base}`, `{modality}`, `{modality:img|txt}`";
                Err([format!("`codes` has no place `{{{place}}}`"), help.to_owned()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let path = CodesPath::parse("a_{bits}/s{seed}.mat#{side:q|r}_{modality:img|txt}").unwrap();
        assert_eq!(path.of(16, 3, Side::Database, Modality::Image), "a_16/s3.mat#r_img");
        assert_eq!(path.of(32, 0, Side::Query, Modality::Text), "a_32/s0.mat#q_txt");
        assert_eq!(path.sides(), [Side::Query, Side::Database]);
        let plain = CodesPath::parse("codes.npy").unwrap();
        assert_eq!((plain.of(8, 1, Side::All, Modality::Image), plain.sides()), ("codes.npy".into(), &[Side::All][..]));
        assert_eq!(CodesPath::parse("{side}").unwrap().of(8, 1, Side::Query, Modality::Image), "query");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in ["a{", "a{bits", "{bit}", "{}", "{bits:1|2}", "{side:q}", "{side:a|a}", "{side:a|b|c}"] {
            assert!(CodesPath::parse(wrong).is_err(), "{wrong}");
        }
    }
}
