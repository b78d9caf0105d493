//! The tables of made-up sweeps: their looks (snapshots), numbers, honesty, and files.

mod compare;
mod encodings;
mod figures;
mod files;
mod honesty;
mod intervals;
mod joined;
mod left;
mod numbers;
mod pages;
mod sweep;

use hashlab_report::{Details, Format, Options, Outcome, Published, SweepReport, render};
use hashlab_store::RunResult;
use sweep::{published, published_cross_modal, sweep, two_tasks};

pub(crate) fn rendered(report: &SweepReport, options: &Options) -> String {
    render(report, &published(), &Details::new(), options).expect("the metrics were measured")
}

pub(crate) fn options(format: Format) -> Options {
    Options::new(format)
}

fn rendered_cross_modal(format: Format) -> String {
    render(&two_tasks(), &published_cross_modal(), &Details::new(), &options(format))
        .expect("the metrics were measured")
}

/// Every format, with and without `all`, without times.
pub(crate) fn without_times() -> Vec<Options> {
    let formats = Format::ALL.map(|(_, format)| Options { times: false, ..options(format) });
    formats.iter().flat_map(|o| [o.clone(), Options { all: true, ..o.clone() }]).collect()
}

pub(crate) fn finished(report: &mut SweepReport) -> impl Iterator<Item = &mut RunResult> {
    report.runs.iter_mut().filter_map(|r| match &mut r.outcome {
        Outcome::Finished(result) => Some(&mut **result),
        _ => None,
    })
}

/// The fields of a CSV line that no test value quotes, by name.
pub(crate) fn csv_column(report: &SweepReport, published: &[Published], name: &str, all: bool) -> Vec<String> {
    let text = render(report, published, &Details::new(), &Options { all, ..options(Format::Csv) })
        .expect("the metrics were measured");
    let mut lines = text.lines().map(|line| {
        let mut quoted = false;
        let fields = line.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        fields.map(str::to_owned).collect::<Vec<_>>()
    });
    let names = lines.next().expect("a heading");
    let column = names.iter().position(|n| n == name).expect("a known column");
    lines.map(|fields| fields[column].clone()).collect()
}

#[test]
fn text() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Text)));
}

/// What stands for a symbol may be wider; columns are aligned all the same.
#[test]
fn text_for_a_terminal_without_utf8() {
    let text = rendered(&sweep(), &Options { ascii: true, ..options(Format::Text) });
    let own = text.replace(['τ', 'λ'], "t"); // letters of labels stay
    assert!(own.is_ascii() && text.contains(" +/- "), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn text_in_color() {
    let colored = rendered(&sweep(), &Options { color: true, times: false, ..options(Format::Text) });
    insta::assert_snapshot!(colored.replace('\u{1b}', "␛"));
}

#[test]
fn text_of_all_settings() {
    insta::assert_snapshot!(rendered(&sweep(), &Options { all: true, ..options(Format::Text) }));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Markdown)));
}

#[test]
fn latex() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Latex)));
}

#[test]
fn csv() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Csv)));
}

#[test]
fn json() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Json)));
}

#[test]
fn text_of_two_tasks() {
    insta::assert_snapshot!(rendered_cross_modal(Format::Text));
}

#[test]
fn markdown_of_two_tasks() {
    insta::assert_snapshot!(rendered_cross_modal(Format::Markdown));
}

#[test]
fn latex_of_two_tasks() {
    insta::assert_snapshot!(rendered_cross_modal(Format::Latex));
}

#[test]
fn csv_of_two_tasks() {
    insta::assert_snapshot!(rendered_cross_modal(Format::Csv));
}

#[test]
fn text_of_all_settings_of_two_tasks() {
    let options = Options { all: true, times: false, ..options(Format::Text) };
    insta::assert_snapshot!(render(&two_tasks(), &[], &Details::new(), &options).expect("the metrics were measured"));
}
