//! Pages and figures of a finished sweep.

use std::fs;

use crate::lab::{FILE, Lab, NAME, TINY};

fn finished() -> Lab {
    let lab = Lab::with(&(TINY.to_owned() + "grid = { tau = [0.3, 0.2] }\n"));
    lab.ok(&["sweep", FILE]);
    lab
}

#[test]
fn a_sweep_leaves_a_page_of_what_its_runs_left() {
    let lab = finished();
    let page = lab.read(&format!("runs/sweeps/{NAME}/{}/report.html", lab.newest()));
    for id in ["results", "figures", "training", "ablations", "codes", "queries", "runs", "about"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    // Three rows; four best and four worst queries each, with ten neighbors.
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 3 * 8 * 11);
    assert!(
        page.contains("relevant, item ") && page.contains("not relevant, item "),
        "captions for who sees no picture"
    );
    // The page is a function of the runs, and needs no data set to be written again.
    assert_eq!(lab.ok(&["report", NAME, "--out", "again.html"]), "again.html\n");
    assert_eq!(lab.read("again.html"), page);
    assert_eq!(lab.ok(&["report", NAME]), format!("{NAME}.html\n"));
    assert_eq!(lab.read(&format!("{NAME}.html")), page);
}

#[test]
fn a_file_of_results_has_a_page() {
    let lab = finished();
    lab.write("results.jsonl", lab.ok(&["table", NAME, "--format", "jsonl"]));
    fs::remove_dir_all(lab.path("runs")).unwrap();
    lab.ok(&["report", "results.jsonl"]);
    let page = lab.read(&format!("{NAME}.html"));
    assert!(page.contains("<section id=\"results\">") && !page.contains("<section id=\"queries\">"));
}

#[test]
fn a_page_that_cannot_be_written_costs_no_sweep() {
    let lab = finished();
    let page = lab.path(&format!("runs/sweeps/{NAME}/{}/report.html", lab.newest()));
    fs::remove_file(&page).unwrap();
    fs::create_dir(&page).unwrap();
    fs::write(page.join("in the way"), "").unwrap();
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("report.html") && ended.stdout.contains("CIBHash"), "{ended:#?}");
}

#[test]
fn figures_are_written_in_the_format_of_their_name() {
    let lab = finished();
    for (file, start) in [("f.svg", &b"<svg "[..]), ("f.pdf", b"%PDF-"), ("f.png", b"\x89PNG")] {
        lab.ok(&["plot", NAME, "--figure", "pr", "--out", file]);
        assert!(fs::read(lab.path(file)).unwrap().starts_with(start), "{file}");
    }
    for figure in ["loss", "validation", "balance", "correlation", "distances", "radius", "pn", "rn"] {
        lab.ok(&["plot", NAME, "--figure", figure, "--out", "f.svg"]);
    }
    let heat_map = ["plot", NAME, "--figure", "heat-map", "--row", "cibhash", "--out", "f.svg"];
    let said = lab.refused(&heat_map);
    assert!(said.contains("help: hyperparameters by method: cibhash: tau"), "one varies, two are needed: {said}");
}

#[test]
fn figures_that_cannot_be_had_say_why() {
    let lab = finished();
    let refused = |args: &[&str]| lab.refused(&[&["plot", NAME], args].concat());
    for (args, said) in [
        (&["--figure", "maps", "--out", "f.svg"][..], "error: unknown figure `maps`\nhelp: one of map-bits, pr, "),
        (&["--figure", "pr", "--out", "f.jpg"], "error: a figure's file cannot end in `jpg`\nhelp: .svg, .pdf or .png"),
        (&["--figure", "pr", "--out", "f"], "error: a figure's file cannot be without an ending\nhelp: .svg"),
        (
            &["--figure", "pr", "--bits", "7", "--out", "f.svg"],
            "error: the sweep has nothing to show in figure `pr`\nhelp: the sweep has codes of 16 bits",
        ),
        (
            &["--figure", "pr", "--metric", "map_all", "--out", "f.svg"],
            "error: `--metric` changes nothing in figure `pr`",
        ),
        (
            &["--figure", "loss", "--row", "ITQ", "--out", "f.svg"],
            "error: the sweep has nothing to show in figure `loss`",
        ),
        (&["--figure", "map-bits", "--metric", "maps", "--out", "f.svg"], "error: unknown metric `maps`"),
        (
            &["--figure", "heat-map", "--x", "tau", "--y", "tau", "--out", "f.svg"],
            "error: `--x` and `--y` name the same",
        ),
    ] {
        let got = refused(args);
        assert!(got.starts_with(said), "{args:?}: {got}");
    }
    for args in [
        &["report", NAME, "--out", "no/page.html"][..],
        &["plot", NAME, "--figure", "pr", "--out", "no/f.svg"],
        &["datasets", "show", FILE, "--out", "no/page.html"],
    ] {
        let said = lab.refused(args);
        let file = args[args.len() - 1];
        assert!(said.starts_with(&format!("error: cannot write {file}: No such file or directory")), "{said}");
        assert!(said.contains("\nhelp: make the directory `no`, or name a file in another one\n"), "{said}");
    }
    let said = lab.refused(&["plot", NAME, "--figure", "pr", "--out", "."]);
    assert!(said.starts_with("error: `--out .` names a directory\nhelp: "), "{said}");
    let said = lab.refused(&["report", NAME, "--out", &format!("{FILE}/page.html")]);
    assert!(said.contains("help: `tiny.toml` is no directory: name a file in another one"), "{said}");
    let said = lab.refused(&["report", NAME, "--out", "/dev/full"]);
    assert!(said.contains("cannot write /dev/full: ") && said.contains("\nhelp: free space"), "{said}");
    let said = lab.refused(&["report", NAME, "--out", "."]);
    assert!(said.starts_with("error: `--out .` names a directory\nhelp: "), "{said}");
    let said = lab.refused(&["report", "nowhere"]);
    assert!(said.starts_with("error: there is no sweep `nowhere`"), "{said}");
}
