//! What a table must not hide: differences between rows, selection, doubtful codes, mixed builds.

use std::sync::Arc;

use hashlab_data::Modality;
use hashlab_report::{
    Details, EncoderSummary, EncoderWeights, Finetuning, Format, Options, Selection, SweepReport, render,
};
use serde_json::json;

use crate::sweep::{Ends, SOURCES, setting, sweep, two_tasks};
use crate::{csv_column, finished, options, rendered};

#[test]
fn encoders_are_those_of_the_rows() {
    let mut sweep = sweep();
    for run in &mut sweep.runs {
        let encoder = Arc::make_mut(&mut run.setup).encoders.get_mut(Modality::Image).expect("an image encoder");
        match run.label.as_str() {
            "ITQ" => encoder.cache_dtype = "f16".to_owned(),
            "LSH" if run.bits == 64 => encoder.dtype = "bf16".to_owned(),
            "HashNet" => encoder.weights = EncoderWeights::Random,
            _ => {}
        }
    }
    let text = rendered(&sweep, &options(Format::Markdown));
    let expected = "- encoder: mobilenet_v2, frozen, 224 px; CIBHash: 10 stored views per training item, weights \
                    0a1b2c3d4e5f; HashNet: 10 stored views per training item, random weights; ITQ: features stored in \
                    f16, weights 0a1b2c3d4e5f; LSH (16 bits): weights 0a1b2c3d4e5f; LSH (64 bits): computed in bf16, \
                    weights 0a1b2c3d4e5f\n";
    assert!(text.contains(expected), "{text}");
    let column = csv_column(&sweep, &[], "image_encoder", false);
    assert_eq!(column[6], "\"mobilenet_v2, frozen, 224 px, features stored in f16, weights 0a1b2c3d4e5f\"");
}

#[test]
fn encoders_that_share_nothing_are_named_apart() {
    let mut sweep = sweep();
    let trained = EncoderSummary {
        image_size: Some(32),
        finetuning: Some(Finetuning { lr_scale: 0.1, norm: Some("frozen".to_owned()) }),
        ..EncoderSummary::frozen("resnet18", EncoderWeights::Random)
    };
    for run in sweep.runs.iter_mut().filter(|r| r.label == "CIBHash") {
        Arc::make_mut(&mut run.setup).encoders.insert(Modality::Image, trained.clone());
    }
    let text = rendered(&sweep, &options(Format::Markdown));
    let expected = "- encoder: CIBHash: resnet18, trained with the method, 32 px, learning rate × 0.1, batch norm: \
                    frozen, random weights; HashNet: mobilenet_v2, frozen, 224 px, 10 stored views per training item, \
                    weights 0a1b2c3d4e5f; ITQ, LSH: mobilenet_v2, frozen, 224 px, weights 0a1b2c3d4e5f\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn labels_with_commas_stay_apart_in_lists() {
    let mut all = Vec::new();
    for label in ["LSH, f32", "ITQ, f32", "LSH, f16"] {
        setting(&mut all, label, json!({}), 16, &[Ends(0.3, 0.2)]);
    }
    let f16 = Arc::make_mut(&mut all[2].setup).encoders.get_mut(Modality::Image).expect("an image encoder");
    f16.cache_dtype = "f16".to_owned();
    let text = rendered(&SweepReport { runs: all, ..sweep() }, &options(Format::Markdown));
    let expected =
        "- encoder: mobilenet_v2, frozen, 224 px, weights 0a1b2c3d4e5f; “LSH, f16”: features stored in f16\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn epoch_selection_is_that_of_the_rows() {
    let text = |sweep: &SweepReport| rendered(sweep, &options(Format::Markdown));
    let setting = "setting: best mean validation mAP@1000 over its seeds\n";
    let mut sweep = sweep();
    assert!(text(&sweep).contains(&format!("- selection: epoch: best validation mAP@1000; {setting}")));
    for run in sweep.runs.iter_mut().filter(|r| r.label == "HashNet") {
        Arc::make_mut(&mut run.setup).selection = Selection::Last;
    }
    let mixed = text(&sweep);
    let expected = format!("- selection: epoch: CIBHash: best validation mAP@1000; HashNet: last; {setting}");
    assert!(mixed.contains(&expected), "{mixed}");
    assert_eq!(csv_column(&sweep, &[], "epoch_selection", false)[0..4], ["best", "best", "best", "last"]);
    sweep.runs.retain(|r| r.label == "LSH" || r.label == "ITQ");
    assert!(!text(&sweep).contains("selection"), "nothing was selected");
}

#[test]
fn settings_of_a_row_that_differ_in_anything_are_told_apart() {
    let mut all = Vec::new();
    setting(&mut all, "LSH", json!({ "image.image_size": 16 }), 16, &[Ends(0.3, 0.2)]);
    setting(&mut all, "LSH", json!({ "image.image_size": 32 }), 16, &[Ends(0.4, 0.3)]);
    for (run, size) in all.iter_mut().zip([16, 32]) {
        Arc::make_mut(&mut run.setup).encoders.get_mut(Modality::Image).expect("an image encoder").image_size =
            Some(size);
    }
    let sweep = SweepReport { runs: all, ..sweep() };
    let text = rendered(&sweep, &options(Format::Markdown));
    assert!(text.contains("- LSH, 16 bits: image.image_size=32\n"), "{text}");
    assert!(text.contains("- encoder: mobilenet_v2, frozen, 32 px, weights"), "{text}");
    let all = rendered(&sweep, &Options { all: true, ..options(Format::Markdown) });
    assert!(all.contains("| LSH | 16 | image.image_size=16 | 0.200 | 0.300 |"), "{all}");
    let sizes = "LSH (image.image_size=16): 16 px; LSH (image.image_size=32): 32 px";
    assert!(all.contains(sizes), "{all}");
    assert_eq!(csv_column(&sweep, &[], "point", true)[1], "\"{\"\"image.image_size\"\":32}\"");
}

#[test]
fn methods_without_randomness_have_no_deviation() {
    let mut sweep = sweep();
    sweep.runs.iter_mut().filter(|r| r.label == "ITQ").for_each(|r| r.seeded = false);
    let text = rendered(&sweep, &options(Format::Markdown));
    assert!(text.contains("| ITQ | **0.590** | <u>0.326</u> (2/3) | <u>0.349</u> |"), "{text}");
    sweep.runs.retain(|r| r.label != "ITQ" || (r.bits != 32 && r.seed == 0));
    let text = rendered(&sweep, &options(Format::Markdown));
    let cells = "- cells: mean ± sample standard deviation over n = 3 seeds (0, 1, 2); without randomness, no \
                 deviation: ITQ\n";
    assert!(text.contains(cells), "{text}");
    assert!(text.contains("| ITQ | **0.590** | – | <u>0.349</u> |"), "{text}");
    sweep.runs.iter_mut().for_each(|r| r.seeded = false);
    let text = rendered(&sweep, &options(Format::Markdown));
    assert!(!text.contains('±') && text.contains("- cells: no randomness, no deviation\n"), "{text}");
}

#[test]
fn collapsed_codes_and_constant_bits_are_flagged() {
    let text =
        render(&two_tasks(), &[], &Details::new(), &options(Format::Markdown)).expect("the metrics were measured");
    let collapsed = "- **warning**: collapsed codes: LSH, 16 bits, seeds 1, 2: one code for 95 % of the items\n";
    let constant = "- **warning**: constant bits: LSH, 32 bits, seeds 1, 2: 2 of 32 bits are the same in all codes\n";
    assert!(text.contains(collapsed) && text.contains(constant), "{text}");
    assert!(text.contains("± 0.010 † |") && text.contains("± 0.010 ‡ |"), "{text}");
    assert!(text.contains("† collapsed codes, see the warnings; ‡ constant bits, see the warnings"), "{text}");
    let codes = csv_column(&two_tasks(), &[], "codes", false);
    assert_eq!(codes.iter().filter(|c| *c == "collapsed").count(), 2, "one line per task");
}

#[test]
fn runs_of_other_sources_are_a_warning() {
    let mut sweep = sweep();
    for result in finished(&mut sweep).take(3) {
        assert_eq!(result.provenance["sources_digest"], SOURCES);
        result.provenance.insert("sources_digest".to_owned(), "77".repeat(32));
    }
    let text = rendered(&sweep, &options(Format::Markdown));
    let warning = "3 runs were made by other sources of cibhash (777777777777) than the rest (5c5c5c5c5c5c)\n";
    assert!(text.contains(warning), "{text}");
    finished(&mut sweep).for_each(|result| {
        result.provenance.remove("sources_digest");
    });
    assert!(!rendered(&sweep, &options(Format::Markdown)).contains("other sources"), "unknown is no difference");
}

#[test]
fn wide_tables_split_by_task() {
    let mut sweep = two_tasks();
    let mut more: Vec<_> = sweep.runs.iter().filter(|r| r.bits == 64).cloned().collect();
    for run in &mut more {
        run.bits = 128;
        run.run.0.push_str("-128");
    }
    sweep.runs.extend(more);
    let text = rendered(&sweep, &options(Format::Text));
    assert!(text.contains("\nmAP@all, I→T\n") && text.contains("\nmAP@all, T→I\n"), "{text}");
}
