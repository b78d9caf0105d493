//! Pages hold everything, escape everything and ask for nothing.

use hashlab_report::{Details, Outcome, page, runs_with_queries};

use crate::left::{HOSTILE, everything};
use crate::sweep::{published, sweep, two_tasks};

fn everything_page() -> String {
    let (report, details) = everything();
    page(&report, &published(), &details).unwrap()
}

#[test]
fn a_page_holds_every_section() {
    let page = everything_page();
    for id in ["failures", "results", "figures", "training", "ablations", "codes", "queries", "runs", "about"] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\">")).count(), 1, "{id}");
        assert!(page.contains(&format!("<a href=\"#{id}\">")), "{id} in the navigation");
    }
    for heading in
        ["Precision–recall", "Training loss", "Two hyperparameters", "Hamming distances", "Validation during training"]
    {
        assert!(page.contains(&format!("<h3>{heading}</h3>")), "{heading}");
    }
    let failures = page.find("<section id=\"failures\">").unwrap();
    assert!(failures < page.find("<section id=\"results\">").unwrap(), "failures come first");
}

#[test]
fn text_from_runs_is_escaped_everywhere() {
    let (report, details) = everything();
    let page = everything_page();
    let failed = report.runs.iter().filter(|r| matches!(r.outcome, Outcome::Failed { .. })).count();
    assert!(failed > 0);
    // The two scripts and styles of a page are its own.
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (1, 1));
    assert!(!page.contains("<img src=x") && !page.contains(HOSTILE));
    let escaped = "&#60;/script&#62;&#60;script&#62;alert(1)";
    assert!(page.matches(escaped).count() > details.len(), "in every log, in errors, in captions");
}

#[test]
fn a_page_asks_for_nothing() {
    let page = everything_page();
    let policy = "default-src 'none'; style-src 'sha256-";
    assert!(page.contains(policy), "{}", &page[..600]);
    for (name, _) in page.match_indices("src=\"").map(|(at, _)| (&page[at + 5..at + 16], at)) {
        assert_eq!(name, "data:image/", "a picture is in the page");
    }
    for forbidden in ["http://", "https://", " style=\"", " onclick", "@import", "url("] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn results_alone_make_a_page_too() {
    for report in [sweep(), two_tasks()] {
        let page = page(&report, &[], &Details::new()).unwrap();
        assert!(page.contains("<section id=\"results\">") && !page.contains("<section id=\"queries\">"));
        assert!(page.contains(&format!("<h1>{}</h1>", report.name)));
    }
    let nothing_finished = {
        let mut report = sweep();
        report.runs.iter_mut().for_each(|run| run.outcome = Outcome::Missing);
        report
    };
    let missing = format!("{} missing", nothing_finished.runs.len());
    assert!(page(&nothing_finished, &[], &Details::new()).unwrap().contains(&missing));
}

#[test]
fn queries_are_those_of_each_rows_longest_code() {
    let (report, _) = everything();
    let shown = runs_with_queries(&report);
    let bits: Vec<usize> = shown.iter().map(|id| report.runs.iter().find(|r| r.run == *id).unwrap().bits).collect();
    assert_eq!(bits, [64, 64, 64], "CIBHash, ITQ, LSH; HashNet has no finished run");
}
