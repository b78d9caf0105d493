//! Mistakes in an experiment: where they are, what would be right, and how a terminal shows them.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

/// A text that settings come from: the file, one environment variable or one `--set`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file's path; a variable and a flag have none, and their texts speak for themselves.
    pub(crate) path: Option<String>,
    /// The whole text; of a variable and a flag, as a shell would show it.
    pub(crate) text: String,
}

/// Part of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Index of the source.
    pub(crate) source: usize,
    /// First byte and the one after the last.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    pub(crate) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }

    /// The whole source: what a missing key is blamed on.
    pub(crate) fn whole(source: usize) -> Self {
        Self::new(source, 0..0)
    }
}

/// One thing that is wrong with an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, a line each.
    pub help: Vec<String>,
    pub(crate) place: Place,
}

impl Mistake {
    pub(crate) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: Vec::new(), place: place.clone() }
    }

    pub(crate) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

/// Everything that is wrong with an experiment, in the order of the file, then the environment, then the flags.
#[derive(Clone, Debug)]
pub struct Mistakes {
    sources: Vec<Source>,
    mistakes: Vec<Mistake>,
}

impl Mistakes {
    /// Sorts and drops repetitions: one bad value of a grid is a mistake of many points.
    pub(crate) fn new(sources: Vec<Source>, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| a.place.cmp(&b.place));
        let mut kept: Vec<Mistake> = Vec::new();
        for mistake in mistakes {
            if !kept.iter().rev().take_while(|k| k.place == mistake.place).any(|k| k.message == mistake.message) {
                kept.push(mistake);
            }
        }
        Self { sources, mistakes: kept }
    }

    /// The mistakes; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }

    /// Renders every mistake as a compiler would: message, file with line and column, the line itself, help.
    /// `color` is for terminals.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let reports: Vec<String> =
            self.mistakes.iter().map(|mistake| renderer.render(&[self.group(mistake)])).collect();
        reports.join("\n\n")
    }

    fn group<'a>(&'a self, mistake: &'a Mistake) -> Group<'a> {
        let source = &self.sources[mistake.place.source];
        let title = Level::ERROR.primary_title(normalize_untrusted_str(&mistake.message));
        let span = mistake.place.start..mistake.place.end;
        let group = Group::with_title(title);
        let snippet = || Snippet::source(&source.text).annotation(AnnotationKind::Primary.span(span.clone()));
        let group = match (&source.path, span.end == 0) {
            (Some(path), true) => group.element(Origin::path(path)),
            (Some(path), false) => group.element(snippet().path(path)),
            (None, _) => group.element(snippet().line_numbering(false)),
        };
        group.elements(mistake.help.iter().map(|line| Level::HELP.message(normalize_untrusted_str(line))))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}

/// Help for a name that is not among `known`: the nearest one, and all of them.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "there are none to choose from".to_owned();
    }
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min_by_key(|(distance, _)| *distance);
    let list = known.join(", ");
    match nearest {
        Some((distance, nearest)) if distance <= (name.chars().count() / 3).max(1) => {
            format!("did you mean `{nearest}`? known: {list}")
        }
        _ => format!("known: {list}"),
    }
}
