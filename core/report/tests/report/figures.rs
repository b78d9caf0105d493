//! Figures are valid SVG with everything inside, and tell what they lack.

use hashlab_report::{Details, FigureKind, FigureRequest, FileFormat, SweepReport, figure};
use resvg::usvg;

use crate::left::{everything, thousand};
use crate::sweep::{sweep, two_tasks};

fn svg(report: &SweepReport, details: &Details, request: &FigureRequest) -> String {
    figure(report, details, request).unwrap_or_else(|e| panic!("{request:?}: {e}")).to_svg().unwrap()
}

/// Reads an SVG as a browser would, and checks that no coordinate is amiss or outside.
fn check(svg: &str) {
    let tree = usvg::Tree::from_str(svg, &usvg::Options::default()).unwrap_or_else(|e| panic!("{e} in {svg}"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let (size, drawn) = (tree.size(), tree.root().abs_bounding_box());
    let slack = 1.0;
    assert!(drawn.left() >= -slack && drawn.top() >= -slack, "{drawn:?} in {size:?}: {svg}");
    assert!(drawn.right() <= size.width() + slack && drawn.bottom() <= size.height() + slack, "{drawn:?} in {size:?}");
}

#[test]
fn every_kind_is_valid_and_within_its_frame() {
    for (report, details) in [everything(), thousand()] {
        for (name, kind) in FigureKind::ALL {
            let svg = svg(&report, &details, &FigureRequest::new(kind));
            check(&svg);
            assert!(svg.contains("aria-label=\""), "{name}");
        }
    }
}

#[test]
fn every_code_length_and_task_has_its_figures() {
    let (report, details) = everything();
    for bits in [16, 32, 64] {
        let request = FigureRequest { bits: Some(bits), ..FigureRequest::new(FigureKind::PrecisionRecall) };
        assert!(svg(&report, &details, &request).contains(&format!("{bits} bits")));
    }
    let report = two_tasks();
    for task in ["i2t", "t2i"] {
        let request = FigureRequest { task: Some(task.parse().unwrap()), ..FigureRequest::new(FigureKind::MapBits) };
        check(&svg(&report, &Details::new(), &request));
    }
}

#[test]
fn a_line_shows_mean_deviation_and_number_of_seeds() {
    let svg = svg(&sweep(), &Details::new(), &FigureRequest::new(FigureKind::MapBits));
    assert!(svg.contains("CIBHash; bits 16; mAP@1000 0.590 ± 0.010 (n=3)"), "{svg}");
    assert!(svg.contains("ITQ; bits 32; mAP@1000 0.326 ± 0.001 (n=2)"), "a diverged seed has no say: {svg}");
    assert!(!svg.contains("HashNet; bits"), "it has no finished run: {svg}");
    assert_eq!(svg.matches("class=\"fill0\"").count() + svg.matches("class=\"stroke0\"").count(), 7, "{svg}");
}

#[test]
fn a_heat_map_averages_over_what_it_does_not_show() {
    let (report, details) = everything();
    let request =
        FigureRequest { keys: Some(("beta".to_owned(), "bits".to_owned())), ..FigureRequest::new(FigureKind::HeatMap) };
    let svg = svg(&report, &details, &request);
    assert!(svg.contains("bits 16, beta 0.001: 0.590 (n=3)"), "{svg}");
    assert!(svg.contains("bits 32, beta 0.01: 0.700 (n=2)"), "{svg}");
}

#[test]
fn a_matrix_of_bits_has_every_pair_once() {
    let (report, details) = everything();
    let request = FigureRequest { bits: Some(16), ..FigureRequest::new(FigureKind::BitMatrix) };
    let svg = svg(&report, &details, &request);
    assert!(svg.contains("16 bits, images, seed "), "{svg}");
    let counts = svg.split(" of 120 pairs").filter_map(|text| text.rsplit(": ").next()?.parse::<usize>().ok());
    assert_eq!(counts.sum::<usize>(), 120, "{svg}");
    assert!(svg.contains("a constant bit: 15 of 120 pairs"), "{svg}");
    let cells = svg.matches("h-").count();
    assert!(cells < 120 + 12, "neighbors are one rectangle: {cells}");
}

#[test]
fn a_figure_says_what_it_lacks() {
    let (report, details) = everything();
    let refused = |request: FigureRequest| figure(&report, &details, &request).unwrap_err().to_string();
    let of = FigureRequest::new;
    assert!(refused(FigureRequest { bits: Some(48), ..of(FigureKind::Radius) }).contains("codes of 16, 32, 64 bits"));
    assert!(
        refused(FigureRequest { task: Some("i2t".parse().unwrap()), ..of(FigureKind::Radius) }).contains("tasks i2i")
    );
    assert!(
        refused(FigureRequest { row: Some("ITQ".to_owned()), ..of(FigureKind::Loss) })
            .contains("rows: CIBHash, HashNet")
    );
    let keys = Some(("beta".to_owned(), "gamma".to_owned()));
    assert!(refused(FigureRequest { keys, ..of(FigureKind::HeatMap) }).contains("cibhash: beta, bits"));
    let without = figure(&sweep(), &Details::new(), &of(FigureKind::Balance)).unwrap_err().to_string();
    assert!(without.contains("kept statistics of their codes"), "{without}");
    assert!("maps".parse::<FigureKind>().unwrap_err().to_string().contains("help: one of map-bits, pr"));
}

#[test]
fn figures_become_files() {
    let made = figure(&sweep(), &Details::new(), &FigureRequest::new(FigureKind::MapBits)).unwrap();
    let file = |format: &str| made.to_file(format.parse::<FileFormat>().unwrap());
    assert!(file("svg").unwrap().starts_with(b"<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert!("jpg".parse::<FileFormat>().unwrap_err().to_string().contains("help: .svg, .pdf or .png"));
    let (pdf, png) = (file("pdf").unwrap(), file("png").unwrap());
    assert!(pdf.starts_with(b"%PDF-") && png.starts_with(b"\x89PNG"));
}
