//! Metrics, formats, escapes, and files that are read.

use hashlab_report::{
    Details, Format, Options, ReportError, SweepReport, known_metrics, parse_published, render, results_jsonl,
};
use serde_json::json;

use crate::sweep::{EXPECTED, Ends, Fails, I2I, MISSED, setting, sweep, two_tasks};
use crate::{finished, options, rendered};

#[test]
fn results_read_back() {
    let sweep = sweep();
    let text = results_jsonl(&sweep);
    assert_eq!(text.lines().count(), 1 + sweep.runs.len());
    let read = SweepReport::from_jsonl(&text).expect("own lines read back");
    assert_eq!(read, sweep);
    assert_eq!(rendered(&read, &options(Format::Json)), rendered(&sweep, &options(Format::Json)));
}

#[test]
fn results_that_do_not_read_say_where() {
    let text = results_jsonl(&sweep());
    let error = |text: &str| SweepReport::from_jsonl(text).expect_err("it is damaged");
    assert!(matches!(error("\n"), ReportError::NoHeader));
    let newer = text.replacen("{\"schema\":2", "{\"schema\":3", 1);
    assert!(matches!(error(&newer), ReportError::Schema { found: 3, expected: 2 }));
    let cut = &text[..text.trim_end().len() - 1];
    assert!(matches!(error(cut), ReportError::Line { line, .. } if line == text.lines().count()));
    let unknown = text.replacen("\"outcome\":{\"finished\"", "\"outcome\":{\"ended\"", 1);
    let message = error(&unknown).to_string();
    assert!(message.starts_with("line 2 of the results file: unknown variant `ended`, expected one of"), "{message}");
}

/// A file that was cut at the end of a line looks whole.
#[test]
fn results_that_lost_or_doubled_lines_say_so() {
    let text = results_jsonl(&sweep());
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let error = |text: String| SweepReport::from_jsonl(&text).expect_err("it is damaged");
    let runs = lines.len() - 1;
    let cut = error(lines[..3].concat());
    assert!(matches!(cut, ReportError::Lines { announced, found: 2 } if announced == runs), "{cut}");
    let doubled = error(text.clone() + lines[1]);
    assert!(matches!(doubled, ReportError::RepeatedRun { line, .. } if line == runs + 2), "{doubled}");
    let without = text.replacen(&format!("\"runs\":{runs},"), "", 1);
    assert!(matches!(error(without), ReportError::Line { line: 1, .. }), "the number belongs to the form");
}

#[test]
fn many_reasons_are_counted() {
    let mut runs = Vec::new();
    let reasons = (0..33).map(|at| Fails(Box::leak(format!("reason {at}").into_boxed_str())));
    setting(&mut runs, "ITQ", json!({}), 16, &reasons.collect::<Vec<_>>());
    let report = SweepReport { runs, ..sweep() };
    let text = rendered(&report, &options(Format::Text));
    assert!(text.contains("ITQ, 16 bits: 33 failed of 33 runs"), "{text}");
    assert_eq!(text.matches(": reason ").count(), 20, "{text}");
    assert!(text.contains("and 13 more reasons"), "{text}");
    let page = hashlab_report::page(&report, &[], &Details::new()).expect("a page");
    assert!(page.contains("<code>reason 19</code>") && !page.contains("<code>reason 20</code>"));
    assert!(page.contains("<li>and 13 more reasons</li>"));
}

/// XeLaTeX or LuaLaTeX could set them; pdfLaTeX's own fonts cannot.
#[test]
fn characters_without_a_form_in_tex_are_named() {
    let mut runs = Vec::new();
    setting(&mut runs, "汉字 🙂 e\u{301}", json!({}), 16, &[Ends(0.5, 0.4)]);
    let report = SweepReport { runs, ..sweep() };
    let latex = rendered(&report, &options(Format::Latex));
    let comment = "% pdfLaTeX's own fonts lack characters of the labels, which are printed as code points: 字 as U+5B57, \
                   汉 as U+6C49, 🙂 as U+1F642\n";
    assert!(latex.contains(comment), "{latex}");
    assert!(latex.contains("U+6C49U+5B57 U+1F642 \\'{e} & "), "{latex}");
    assert!(!rendered(&sweep(), &options(Format::Latex)).contains("code points"));
}

#[test]
fn formats_have_names() {
    for (name, format) in Format::ALL {
        assert_eq!(name.parse::<Format>().expect("its own name"), format);
    }
    let error = "html".parse::<Format>().expect_err("there is none").to_string();
    assert_eq!(error, "unknown table format `html`\nhelp: one of text, markdown, latex, csv, json, jsonl");
}

#[test]
fn other_metrics_keep_the_selection() {
    let asked = Options { metrics: vec![EXPECTED.to_owned()], ..options(Format::Text) };
    let text = rendered(&sweep(), &asked);
    assert!(text.contains("\nmAP@all, expected over ties\n") && !text.contains("\nmAP@1000\n"), "{text}");
    assert!(text.contains("*0.490 ± 0.010"), "{text}");
    let counted = Options { metrics: vec![MISSED.to_owned()], ..options(Format::Text) };
    assert!(!rendered(&sweep(), &counted).contains("best of the column"), "the most misses are not the best");
    let unmeasured = Options { metrics: vec!["ndcg_at_k".to_owned()], ..options(Format::Text) };
    let error = render(&sweep(), &[], &Details::new(), &unmeasured).expect_err("no run has it").to_string();
    assert_eq!(
        error,
        "no finished run of sweep `cibhash_cifar10` has metric `ndcg_at_k`\n\
         help: measured: map_all_expected, map_at_k, queries_without_hit"
    );
}

#[test]
fn markup_in_names_is_escaped() {
    let mut all = Vec::new();
    setting(
        &mut all,
        "a|b_ & 100%\n",
        json!({ "loss": "x_y--z" }),
        16,
        &[Fails("error: <b>\u{1b}[1m {x}\nsecond line")],
    );
    setting(&mut all, "[c]", json!({}), 16, &[Ends(0.5, 0.5)]);
    let sweep = SweepReport { runs: all, ..sweep() };
    let markdown = rendered(&sweep, &options(Format::Markdown));
    assert!(markdown.contains("| a\\|b\\_ & 100% | failed |"), "{markdown}");
    let latex = rendered(&sweep, &Options { all: true, ..options(Format::Latex) });
    assert!(latex.contains("a$|$b\\_ \\& 100\\% & 16 & loss=x\\_y-{}-z & -- & failed"), "{latex}");
    assert!(latex.contains("\\\\\n{[}c] &"), "{latex}");
    let depth =
        latex.replace("\\{", "").replace("\\}", "").chars().fold(0, |d, c| d + (c == '{') as i32 - (c == '}') as i32);
    assert_eq!(depth, 0, "braces are balanced");
    let text = rendered(&sweep, &options(Format::Text));
    assert!(!text.contains('\u{1b}'), "an error message cannot steer the terminal: {text}");
}

#[test]
fn unknown_metrics_are_found_without_a_report() {
    let check = |metric: &str, format: Format| {
        Options { metrics: vec![metric.to_owned()], ..options(format) }.check().map_err(|error| error.to_string())
    };
    let known = known_metrics().iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
    for format in [Format::Text, Format::Json, Format::Jsonl] {
        assert_eq!(
            check("map_at_1000", format),
            Err(format!("unknown metric `map_at_1000`\nhelp: did you mean `map_at_k`? known: {known}"))
        );
        assert_eq!(check("loss", format), Err(format!("unknown metric `loss`\nhelp: known: {known}")));
    }
    assert_eq!(check("map_all", Format::Text), Ok(()));
    assert!(check("map_all", Format::Jsonl).is_err_and(|e| e.starts_with("format jsonl holds every metric")));
}

#[test]
fn jsonl_without_times_is_the_same_in_every_repetition() {
    let sweep = sweep();
    let mut slower = sweep.clone();
    for result in finished(&mut slower) {
        result.seconds.insert("train".to_owned(), 1e6);
        result.attempts = 7;
        result.provenance.insert("peak_rss_mib".to_owned(), "9999".to_owned());
    }
    let plain = Options { times: false, ..options(Format::Jsonl) };
    assert_eq!(rendered(&slower, &plain), rendered(&sweep, &plain));
    assert_eq!(rendered(&sweep, &options(Format::Jsonl)), results_jsonl(&sweep));
    let asked = Options { metrics: vec![EXPECTED.to_owned()], ..plain };
    assert!(matches!(render(&sweep, &[], &Details::new(), &asked), Err(ReportError::MetricsOfJsonl)));
}

#[test]
fn known_metrics_are_those_that_are_measured() {
    use hashlab_eval::{Codes, LabelSets, evaluate};
    let codes = Codes::from_signs(&[1.0, -1.0], 1).expect("two codes of a bit");
    let labels = LabelSets::new(&[1, 1], 1).expect("two label sets");
    let report = evaluate(&codes, labels, &codes, labels, &hashlab_eval::Options::default()).expect("the sides fit");
    let mut known: Vec<&str> = known_metrics().iter().map(|m| m.name).collect();
    known.sort_unstable();
    assert_eq!(known, report.scalars().keys().collect::<Vec<_>>());
    for metric in known_metrics() {
        let sentence = metric.sentence(hashlab_report::Depth::All);
        assert!(!sentence.contains('K'), "{sentence}");
    }
}

#[test]
fn published_numbers_that_do_not_read_say_why() {
    let row = |from: &str, to: &str| {
        let good = "[[published]]\nmethod = 'M'\ndataset = 'd'\nmap_at = 'all'\nvalues = { 16 = 0.5 }\nsource = 's'\n";
        parse_published(&good.replacen(from, to, 1)).map_err(|error| error.to_string())
    };
    let read = row("", "").expect("it is good");
    assert_eq!((read[0].task, read[0].protocol.as_deref(), read[0].verified), (I2I, None, false));
    assert_eq!(row("0.5", "5"), Err("published value of M, \"s\": 5 is no fraction between 0 and 1".to_owned()));
    assert_eq!(row("16 =", "b ="), Err("published value of M, \"s\": `b` is no code length in bits".to_owned()));
    assert_eq!(row("'s'", "''"), Err("published value of M, \"\": no source".to_owned()));
    assert!(row("'all'", "0").is_err_and(|e| e.contains("expected a rank, counted from 1, or \"all\"")));
    assert!(row("dataset", "data").is_err_and(|e| e.contains("unknown field `data`")));
}

#[test]
fn captions_have_two_lines_at_most() {
    for sweep in [sweep(), two_tasks()] {
        let latex = rendered(&sweep, &options(Format::Latex));
        let captions = latex.lines().filter_map(|line| line.strip_prefix("\\caption{"));
        // A line of an article at 10 pt holds some 78 characters.
        assert!(captions.clone().all(|caption| caption.chars().count() < 150), "{latex}");
        assert_eq!(captions.count(), 3);
    }
}
