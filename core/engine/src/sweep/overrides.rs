//! The layers above the file: environment variables and `--set`.

use super::diagnose::{Mistake, Place, Source};
use super::tree::{self, Field, Kind, Node};

/// What a variable's name starts with; the rest is the key, with two underscores for a dot.
pub const PREFIX: &str = "HASHLAB_SET_";

/// Settings from outside the file. They beat everything that the file says, arms and grids included.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Environment variables; those that do not start with [`PREFIX`] are not looked at.
    pub env: Vec<(String, String)>,
    /// The arguments of `--set`, as `key=value`. The last one of a key counts; they beat the environment.
    pub set: Vec<String>,
}

impl Overrides {
    /// Parses the environment's layer, by name.
    pub(crate) fn environment(&self, sources: &mut Vec<Source>) -> Result<Vec<Field>, Vec<Mistake>> {
        let mut variables: Vec<_> = self.env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        let parse = |(name, value): &(String, String)| {
            let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            let text = format!("{name}={value}");
            assignment(text, PREFIX.len()..name.len(), &key, sources)
        };
        collect(variables.into_iter().map(parse))
    }

    /// Parses the flags' layer, in order.
    pub(crate) fn flags(&self, sources: &mut Vec<Source>) -> Result<Vec<Field>, Vec<Mistake>> {
        const FLAG: &str = "--set ";
        let parse = |argument: &String| {
            let text = format!("{FLAG}{argument}");
            let Some((key, _)) = argument.split_once('=') else {
                let place = Place::new(sources.len(), FLAG.len()..text.len());
                sources.push(Source { path: None, text });
                let mistake = Mistake::new(&place, format!("`--set {argument}` sets nothing"));
                return Err(vec![mistake.help("write `--set key=value`, e.g. `--set train.epochs=5`")]);
            };
            let span = FLAG.len()..FLAG.len() + key.len();
            assignment(text, span, key, sources)
        };
        collect(self.set.iter().map(parse))
    }
}

/// Parses one `key=value`. The key stands at `span` of `text`, the value behind the next byte.
fn assignment(
    text: String,
    span: std::ops::Range<usize>,
    key: &str,
    sources: &mut Vec<Source>,
) -> Result<Field, Vec<Mistake>> {
    let source = sources.len();
    let (place, offset) = (Place::new(source, span.clone()), span.end + 1);
    let parsed = tree::value(&text[offset..], source, offset);
    sources.push(Source { path: None, text });
    let mut segments = key.split('.').map(|segment| segment.trim().to_owned()).rev();
    let last = segments.next().unwrap_or_default();
    let field = Field { key: last, place: place.clone(), node: parsed? };
    Ok(segments.fold(field, |inner, key| {
        let node = Node { place: inner.node.place.clone(), kind: Kind::Table(vec![inner]) };
        Field { key, place: place.clone(), node }
    }))
}

/// Every field, or every mistake.
fn collect(parsed: impl Iterator<Item = Result<Field, Vec<Mistake>>>) -> Result<Vec<Field>, Vec<Mistake>> {
    let (fields, mistakes): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
    match mistakes.is_empty() {
        true => Ok(fields.into_iter().filter_map(Result::ok).collect()),
        false => Err(mistakes.into_iter().filter_map(Result::err).flatten().collect()),
    }
}
