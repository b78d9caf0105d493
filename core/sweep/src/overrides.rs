//! The layers above the file: environment variables and `--set`.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, SourceText, Span};
use crate::layers::Origin;
use crate::toml_tree::{self, Field, Node, NodeKind};

/// Prefix of a variable's name; the rest is the key, with two underscores for a dot.
pub const PREFIX: &str = "HASHLAB_SET_";

/// Settings from outside of the file. They override the whole file, methods and grids included.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Environment variables; those without [`PREFIX`] are ignored.
    pub env: Vec<(String, String)>,
    /// The arguments of `--set`, as `key=value`. The last one of a key counts; they override the environment.
    pub set: Vec<String>,
}

/// A setting from outside, as a table with one key.
pub(crate) struct Override {
    pub(crate) origin: Origin,
    pub(crate) field: Field,
}

type Parsed = Result<Override, Vec<Diagnostic>>;

impl Overrides {
    /// Parses the environment by name, then the flags in order.
    pub(crate) fn parse(&self, sources: &mut Vec<SourceText>) -> Result<Vec<Override>, Vec<Diagnostic>> {
        let mut variables: Vec<_> = self.env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        let mut parsed: Vec<Parsed> =
            variables.into_iter().map(|(name, value)| variable(name, value, sources)).collect();
        parsed.extend(self.set.iter().map(|argument| flag(argument, sources)));
        let (sound, broken): (Vec<Parsed>, Vec<Parsed>) = parsed.into_iter().partition(Result::is_ok);
        match broken.is_empty() {
            true => Ok(sound.into_iter().filter_map(Result::ok).collect()),
            false => Err(broken.into_iter().filter_map(Result::err).flatten().collect()),
        }
    }
}

fn variable(name: &str, value: &str, sources: &mut Vec<SourceText>) -> Parsed {
    let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
    let text = format!("{name}={value}");
    let field = assignment(text, PREFIX.len()..name.len(), &key, sources)?;
    Ok(Override { origin: Origin::Variable(name.to_owned()), field })
}

fn flag(argument: &str, sources: &mut Vec<SourceText>) -> Parsed {
    const FLAG: &str = "--set ";
    let text = format!("{FLAG}{argument}");
    let Some((key, _)) = argument.split_once('=') else {
        let span = Span::new(sources.len(), FLAG.len()..text.len());
        sources.push(SourceText { path: None, text });
        let diagnostic = Diagnostic::new(&span, format!("`--set {argument}` sets nothing"));
        return Err(vec![diagnostic.help("write `--set key=value`, e.g. `--set train.epochs=5`")]);
    };
    let field = assignment(text.clone(), FLAG.len()..FLAG.len() + key.len(), key, sources)?;
    Ok(Override { origin: Origin::Flag(text), field })
}

/// Parses one `key=value`. The key is at `span` of `text`, the value begins after the next byte.
fn assignment(
    text: String,
    span: Range<usize>,
    key: &str,
    sources: &mut Vec<SourceText>,
) -> Result<Field, Vec<Diagnostic>> {
    let source = sources.len();
    let (span, offset) = (Span::new(source, span.clone()), span.end + 1);
    let parsed = toml_tree::value(&text[offset..], source, offset);
    sources.push(SourceText { path: None, text });
    let mut segments = key.split('.').map(|segment| segment.trim().to_owned()).rev();
    let last = segments.next().unwrap_or_default();
    let field = Field { key: last, span: span.clone(), node: parsed? };
    Ok(segments.fold(field, |inner, key| {
        let node = Node { span: inner.node.span.clone(), kind: NodeKind::Table(vec![inner]) };
        Field { key, span: span.clone(), node }
    }))
}
