//! Diagnostics of an experiment: message, span, help, and their rendering.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

/// Text of a source of settings: the file, one environment variable or one `--set`.
#[derive(Clone, Debug)]
pub(crate) struct SourceText {
    /// The file's path; `None` for variables and flags, whose texts include their names.
    pub(crate) path: Option<String>,
    /// The whole text; of a variable and a flag, in shell syntax.
    pub(crate) text: String,
}

/// Part of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Index of the source.
    pub(crate) source: usize,
    /// First byte and the one after the last.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }

    /// The file as a whole, for diagnostics of a missing key.
    pub(crate) fn file() -> Self {
        Self::new(0, 0..0)
    }
}

/// A problem of an experiment: an error message, its span and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The problem, in one line.
    pub message: String,
    /// Remedies, a line each.
    pub help: Vec<String>,
    pub(crate) span: Span,
}

impl Diagnostic {
    pub(crate) fn new(span: &Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: Vec::new(), span: span.clone() }
    }

    pub(crate) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

/// All problems of an experiment, in the order of the file, then the environment, then the flags.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    sources: Vec<SourceText>,
    diagnostics: Vec<Diagnostic>,
    warnings: bool,
}

impl Diagnostics {
    /// Sorts and removes repetitions: one bad value of a grid is a diagnostic of many points.
    pub(crate) fn new(sources: Vec<SourceText>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.span.cmp(&b.span));
        let mut kept: Vec<Diagnostic> = Vec::new();
        for diagnostic in diagnostics {
            if !kept.iter().rev().take_while(|k| k.span == diagnostic.span).any(|k| k.message == diagnostic.message) {
                kept.push(diagnostic);
            }
        }
        Self { sources, diagnostics: kept, warnings: false }
    }

    /// As [`Diagnostics::new`], of what may be meant as it is.
    pub(crate) fn warnings(sources: Vec<SourceText>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { warnings: true, ..Self::new(sources, diagnostics) }
    }

    /// The diagnostics; at least one, if they are errors.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// Renders every diagnostic as a compiler would: message, file with line and column, the line itself, help.
    /// `color` is for terminals.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let reports: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| renderer.render(&[self.group(diagnostic)])).collect();
        reports.join("\n\n")
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let source = &self.sources[diagnostic.span.source];
        let level = if self.warnings { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(normalize_untrusted_str(&diagnostic.message));
        let span = diagnostic.span.start..diagnostic.span.end;
        let group = Group::with_title(title);
        let snippet = || Snippet::source(&source.text).annotation(AnnotationKind::Primary.span(span.clone()));
        let group = match (&source.path, span.end == 0) {
            (Some(path), true) => group.element(Origin::path(path)),
            (Some(path), false) => group.element(snippet().path(path)),
            (None, _) => group.element(snippet().line_numbering(false)),
        };
        group.elements(diagnostic.help.iter().map(|line| Level::HELP.message(normalize_untrusted_str(line))))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
