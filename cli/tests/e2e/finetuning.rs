//! Sweeps in which some runs train their encoder.

use hashlab_store::RunState;
use insta::assert_snapshot;

use crate::findings::Findings;
use crate::interruptions::at;
use crate::lab::{FILE, Lab, NAME, until};

/// A method on the frozen network, and with it.
const BOTH: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0]

[data]
items = 100
size = 16

[image]
image_size = 16
views = 4

[train]
epochs = 12
batch_size = 32
validate_every = 4

[[method]]
name = "cibhash"
label = "frozen"

[[method]]
name = "cibhash"
label = "fine-tuned"
image = { finetune = true }
"#;

#[test]
fn a_fine_tuning_goes_on_from_its_checkpoint_to_the_same_table() {
    let undisturbed = Lab::with(BOTH);
    undisturbed.ok(&["sweep", FILE, "--jobs", "1"]);

    let lab = Lab::with(BOTH);
    let victim = &lab.runs()[1];
    let mut sweep = lab.start(&["sweep", FILE, "--jobs", "2"]);
    until("epochs of the fine-tuning", || at(victim, 1, 2));
    sweep.interrupt();
    assert_eq!(sweep.end().code, Some(130));
    assert_eq!(victim.state(), RunState::Interrupted { checkpoint: true });
    lab.ok(&["sweep", FILE, "--jobs", "2"]);
    assert_eq!(victim.attempts().len(), 2);
    assert_eq!(Findings::of(&lab), Findings::of(&undisturbed));
}

/// The encoder's line tells the rows apart. The software's names the commit, and warnings depend on
/// the processor.
#[test]
fn the_head_of_a_table_says_which_rows_trained_the_encoder() {
    let lab = Lab::with(&BOTH.replace("epochs = 12", "epochs = 1"));
    lab.ok(&["sweep", FILE]);
    let table = lab.ok(&["table", NAME, "--no-times"]);
    let head = table
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !["  software", "  warning"].iter().any(|name| line.starts_with(name)));
    assert_snapshot!(head.collect::<Vec<_>>().join("\n"));
}

/// `finetune = false` changes nothing by itself, and everything beside a shared `true`.
#[test]
fn a_method_may_keep_its_encoder_frozen_where_the_file_trains_it() {
    let shared =
        BOTH.replace("views = 4", "views = 4\nfinetune = true").replace("{ finetune = true }", "{ finetune = false }");
    let lab = Lab::with(&shared);
    let (mut here, mut there) = (lab.ids(), Lab::with(BOTH).ids());
    here.sort();
    there.sort();
    assert_eq!(here, there, "the same two runs, the other way round");
    let alone = BOTH.replace("{ finetune = true }", "{ finetune = false }");
    assert!(Lab::with(&alone).refused(&["plan", FILE]).contains("rows `frozen` and `fine-tuned` both hold run"));
}

/// A setting that a row cannot use is told at its line, and one that its network cannot use before anything starts.
#[test]
fn several_devices_need_an_encoder_to_train_and_frozen_norms() {
    let lab = Lab::with(
        &BOTH.replace("batch_size = 32", "batch_size = 32\ndevices = 2").replace("epochs = 12", "epochs = 4"),
    );
    let frozen = lab.refused(&["sweep", FILE]);
    assert!(frozen.contains("`devices = 2` divides the work of encoders that are trained"), "{frozen}");
    assert!(frozen.contains(":16:") && frozen.contains("train = { devices = 1 }"), "{frozen}");
    let one = BOTH.replace("label = \"frozen\"", "label = \"frozen\"\ntrain = { epochs = 4 }");
    let both = one.replace("finetune = true", "finetune = true }\ntrain = { epochs = 4, devices = 2");
    let lab = Lab::with(&both);
    std::fs::write(lab.path("task.toml"), "gpus = 1\n").unwrap();
    for engine in ["k8s", "hq"] {
        let refused = lab.refused(&["plan", FILE, "--format", engine, "--profile", "task.toml"]);
        assert!(refused.contains("`devices = 2` in [train] needs `gpus = 2` in the profile"), "{refused}");
    }
    lab.ok(&["sweep", FILE, "--no-times"]);
    let trained = both.replace("[[method]]\nname = \"cibhash\"\nlabel = \"frozen\"\ntrain = { epochs = 4 }\n", "");
    let normed = trained.replace("finetune = true", "finetune = true, encoder = \"resnet18\"");
    let lab = Lab::with(&normed);
    for command in [&["sweep", FILE][..], &["trace", FILE, "--out", "steps"]] {
        let refused = lab.refused(command);
        assert!(refused.contains("the batch norms of `resnet18` would see a part of the batch"), "{refused}");
    }
    assert!(!lab.path("steps").exists());
}
