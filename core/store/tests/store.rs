//! The store: claims, atomic files, and the remains of a crash.

// The runs of the executor's tests.
#[path = "results/configuration.rs"]
mod configuration;
#[path = "../../exec/tests/exec/fixture.rs"]
mod fixture;
#[path = "results/index.rs"]
mod index;
#[path = "results/listing.rs"]
mod listing;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fixture::{config, prepared, result};
use hashlab_data::{ByModality, Modality};
use hashlab_store::{BitProfile, Claim, CodeProfile, RunDir, RunState, ShownItem, ShownItems, Store, StoreError};

fn store() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path());
    (root, store)
}

fn claim(run: &RunDir) -> Claim {
    run.try_claim().unwrap().expect("nobody holds the run")
}

fn values(loss: f64) -> BTreeMap<String, f64> {
    BTreeMap::from([("train/loss".into(), loss)])
}

fn files_ending(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

#[test]
fn a_run_passes_through_its_states() {
    let (_root, store) = store();
    let run = store.run(&config(0).id()).unwrap();
    assert_eq!(run.state(), RunState::Missing);
    assert!(run.try_claim().is_err(), "a run is prepared first");
    run.prepare(&config(0)).unwrap();
    assert_eq!(run.state(), RunState::Missing);

    let held = claim(&run);
    assert_eq!(held.attempt(), 1);
    assert_eq!(run.state(), RunState::Running);
    assert!(run.try_claim().unwrap().is_none(), "it is held");
    assert!(run.record_crash("not dead").unwrap().is_none(), "it is held");
    drop(held);
    assert_eq!(run.state(), RunState::Interrupted { checkpoint: false });

    let held = claim(&run);
    held.write_checkpoint(b"weights").unwrap();
    drop(held);
    assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });

    claim(&run).fail("no data\nhelp: get some").unwrap();
    let RunState::Failed(failure) = run.state() else { panic!("{:?}", run.state()) };
    assert_eq!((failure.message.as_str(), failure.attempt), ("no data\nhelp: get some", 3));

    let held = claim(&run);
    assert_eq!(run.failure(), None, "a new attempt forgets why the last failed");
    assert_eq!(run.read_checkpoint().as_deref(), Some(&b"weights"[..]), "but not where it was");
    held.finish(&result(run.id(), 0.5)).unwrap();
    assert_eq!(run.state(), RunState::Finished(Box::new(result(run.id(), 0.5))));
    assert_eq!(run.read_checkpoint(), None);
    assert!(run.try_claim().unwrap().is_none(), "it is finished");
    assert!(run.record_crash("late").unwrap().is_none(), "it is finished");

    let attempts = run.attempts();
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(attempts.iter().all(|attempt| attempt.pid == std::process::id() && !attempt.host.is_empty()));
}

#[test]
fn a_damaged_result_is_no_result() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    claim(&run).finish(&result(run.id(), 0.5)).unwrap();
    let path = run.path().join("result.json");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 1, bytes.len() / 2, bytes.len() - 3] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(run.result(), None, "{length} bytes");
    }
    assert!(matches!(run.state(), RunState::Interrupted { .. }));
    claim(&run).finish(&result(run.id(), 0.5)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);

    let stranger = fs::read_to_string(&path).unwrap().replace(&run.id().0, &config(1).id().0);
    fs::write(&path, stranger).unwrap();
    assert_eq!(run.result(), None, "it names another run");
}

#[test]
fn a_changed_digit_of_a_result_is_noticed() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    claim(&run).finish(&result(run.id(), 0.2033)).unwrap();
    let path = run.path().join("result.json");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(&path, written.replace("0.2033", "0.9033")).unwrap();
    assert_eq!(run.result(), None);
    fs::write(&path, &written).unwrap();
    assert_eq!(run.result().unwrap().mean_test("map_at_k"), Some(0.2033));
    // A record from before digests has none.
    let plain = format!("{}\n}}\n", written.split(",\n  \"digest\"").next().unwrap());
    assert!(plain.len() + 20 < written.len());
    fs::write(&path, plain).unwrap();
    assert!(run.result().is_some());
}

#[test]
fn a_result_that_could_not_be_read_back_is_refused() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    let refused = claim(&run).finish(&result(run.id(), f64::NAN));
    assert!(matches!(refused, Err(StoreError::NotFinite { name, .. }) if name == "map_at_k"));
    let mut endless = result(run.id(), 0.5);
    let curves = endless.test.values_mut().map(|task| &mut task.curves).next().unwrap();
    curves.insert("precision_at", vec![1.0, f64::INFINITY]);
    assert!(matches!(claim(&run).finish(&endless), Err(StoreError::NotFinite { name, .. }) if name == "precision_at"));
    let stranger = claim(&run).finish(&result(&config(1).id(), 0.5));
    assert!(matches!(stranger, Err(StoreError::OtherRun { .. })));
    assert_eq!(run.result(), None);
}

#[test]
fn a_damaged_checkpoint_is_ignored() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    let held = claim(&run);
    assert_eq!(run.read_checkpoint(), None);
    held.write_checkpoint(&[7; 1000]).unwrap();
    held.write_checkpoint(&[8; 1000]).unwrap();
    assert_eq!(run.read_checkpoint().unwrap(), [8; 1000]);
    let paths = files_ending(run.path(), ".safetensors");
    assert_eq!(paths.len(), 1, "the predecessor is removed");

    let mut bytes = vec![8; 1000];
    bytes[500] ^= 1;
    fs::write(&paths[0], &bytes).unwrap();
    assert_eq!(run.read_checkpoint(), None, "a flipped bit");
    fs::write(&paths[0], [8; 999]).unwrap();
    assert_eq!(run.read_checkpoint(), None, "cut short");

    // A process killed between writing one and removing its predecessor leaves two.
    held.write_checkpoint(&[9; 10]).unwrap();
    fs::write(&paths[0], &bytes).unwrap();
    assert_eq!(run.read_checkpoint().unwrap(), [9; 10], "the sound one counts");

    held.remove_checkpoint().unwrap();
    assert_eq!(run.state(), RunState::Running);
    assert!(files_ending(run.path(), ".safetensors").is_empty());
}

#[test]
fn the_journal_resumes_where_the_checkpoint_was() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    let held = claim(&run);
    let mut journal = held.journal(None).unwrap();
    for step in 1..=6 {
        journal.append(step, &values(step as f64)).unwrap();
    }
    journal.append(7, &values(f64::NAN)).unwrap();
    let points = run.metrics();
    assert_eq!(points.iter().map(|point| point.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((points[5].values["train/loss"], points[6].values["train/loss"]), (Some(6.0), None));

    // The line that a killed process was writing.
    let path = run.path().join("metrics.jsonl");
    let torn = fs::read_to_string(&path).unwrap() + "{\"step\":8,\"val";
    fs::write(&path, torn).unwrap();
    assert_eq!(run.metrics(), points);

    let mut journal = held.journal(Some(4)).unwrap();
    journal.append(5, &values(0.5)).unwrap();
    let points = run.metrics();
    assert_eq!(points.iter().map(|point| point.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(points[4].values["train/loss"], Some(0.5));

    held.journal(None).unwrap();
    assert!(run.metrics().is_empty(), "without a checkpoint, training starts anew");
}

#[test]
fn what_a_killed_process_left_half_written_is_repaired() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    drop(claim(&run));
    let attempts = run.path().join("attempts.jsonl");
    fs::write(&attempts, fs::read_to_string(&attempts).unwrap() + "{\"attempt\":2,\"ti").unwrap();
    fs::write(run.path().join(".checkpoint-0011223344556677.safetensors-x1.tmp"), b"half").unwrap();
    fs::write(run.path().join(".result.json-x2.tmp"), b"half").unwrap();

    assert_eq!(claim(&run).attempt(), 2);
    assert_eq!(run.attempts().iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2]);
    assert!(files_ending(run.path(), ".tmp").is_empty());
}

#[test]
fn many_claimants_execute_each_run_once() {
    const CLAIMANTS: usize = 8;
    const RUNS: u64 = 40;
    let (_root, store) = store();
    let runs: Vec<RunDir> = (0..RUNS).map(|seed| prepared(&store, seed)).collect();
    let executed: Vec<AtomicUsize> = runs.iter().map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for _ in 0..CLAIMANTS {
            scope.spawn(|| {
                for (run, executed) in runs.iter().zip(&executed) {
                    let Some(claim) = run.try_claim().unwrap() else { continue };
                    executed.fetch_add(1, Ordering::SeqCst);
                    claim.finish(&result(run.id(), 0.5)).unwrap();
                }
            });
        }
    });
    for (run, executed) in runs.iter().zip(&executed) {
        assert_eq!(executed.load(Ordering::SeqCst), 1, "{}", run.id());
        assert_eq!(run.attempts().len(), 1);
        assert!(run.result().is_some());
    }
}

#[test]
fn plans_are_apart_and_the_newest_is_known() {
    let (_root, store) = store();
    let sweep = store.sweep("table_2").unwrap();
    assert!(sweep.newest().unwrap().is_none());
    let plan = sweep.plan("0a1b").unwrap();
    assert!(plan.open_plan().is_err());
    plan.write_plan(|out| out.write_all(b"{}\n")).unwrap();
    assert!(plan.path().ends_with("sweeps/table_2/0a1b"));
    fs::write(plan.path().join("plan.jsonl"), "damaged").unwrap();
    plan.write_plan(|out| out.write_all(b"{}\n")).unwrap();
    let text = std::io::read_to_string(plan.open_plan().unwrap()).unwrap();
    assert_eq!(text, "{}\n", "it is derived from the experiment");
    assert!(matches!(sweep.plan("../x"), Err(StoreError::BadName(_))));
    sweep.plan("2c3d").unwrap().write_plan(|out| out.write_all(b"{}\n")).unwrap();
    for newest in ["2c3d", "0a1b"] {
        sweep.set_newest(newest).unwrap();
        assert!(sweep.newest().unwrap().unwrap().path().ends_with(newest));
    }
    assert_eq!(sweep.plans(), 2);
}

#[test]
fn reports_are_replaced_whole_and_readable_by_all_whom_the_umask_admits() {
    let (root, store) = store();
    let plan = store.sweep("table_2").unwrap().plan("0a1b").unwrap();
    plan.write("table.txt", b"old").unwrap();
    let path = plan.write("table.txt", b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(matches!(plan.write("../table.txt", b""), Err(StoreError::BadName(_))));
    assert_eq!(fs::read_dir(plan.path()).unwrap().count(), 1, "nothing else is left");

    let plain = File::create(root.path().join("plain")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode(), plain.metadata().unwrap().permissions().mode());
}

#[test]
fn what_people_look_at_is_kept_and_discarded_with_the_result() {
    let (_folder, store) = store();
    let run = prepared(&store, 0);
    assert_eq!((run.items(), run.codes(), run.log_tail(100)), (None, None, String::new()));
    let mut items = ShownItems::default();
    let truck = ShownItem { jpeg: Some("AAAA".to_owned()), text: None, labels: vec!["truck".to_owned()] };
    items.items.insert(Modality::Image, BTreeMap::from([(7, truck)]));
    let codes = CodeProfile {
        bits: ByModality::one(Modality::Image, BitProfile { ones: vec![0.25, 1.0], ..BitProfile::default() }),
        distances: BTreeMap::new(),
    };
    let claim = claim(&run);
    claim.write_items(&items).unwrap();
    claim.write_codes(&codes).unwrap();
    claim.finish(&result(run.id(), 0.5)).unwrap();
    assert_eq!((run.items(), run.codes()), (Some(items), Some(codes)));
    drop(claim);
    assert!(run.set_aside().unwrap());
    assert_eq!((run.items(), run.codes()), (None, None));
    assert!(run.put_back().unwrap());
    assert_eq!((run.items().is_some(), run.codes().is_some()), (true, true));
    assert_eq!(run.result().unwrap().run, *run.id());
    assert!(!run.put_back().unwrap(), "nothing is aside");
}

#[test]
fn a_result_that_was_set_aside_waits_for_its_successor() {
    let (_folder, store) = store();
    let run = prepared(&store, 0);
    claim(&run).finish(&result(run.id(), 0.5)).unwrap();
    assert!(run.set_aside().unwrap());
    let again = claim(&run);
    assert!(!run.put_back().unwrap(), "another process executes the run");
    again.write_checkpoint(b"half").unwrap();
    drop(again);
    assert!(!run.put_back().unwrap(), "it goes on from its checkpoint");
    let again = claim(&run);
    again.finish(&result(run.id(), 0.75)).unwrap();
    drop(again);
    assert!(!run.put_back().unwrap());
    assert!(!run.path().join("previous").exists());
}

/// The files of a result, as [`set_aside`](RunDir::set_aside) moves them; the others in the order of their names.
fn with_files(run: &RunDir) -> Vec<String> {
    let claim = claim(run);
    claim.finish(&result(run.id(), 0.5)).unwrap();
    claim.write_items(&ShownItems::default()).unwrap();
    claim.write_codes(&CodeProfile::default()).unwrap();
    claim.write_model(b"model").unwrap();
    ["result.json", "items.json", "codes.json", "model.safetensors"].map(str::to_owned).to_vec()
}

fn contents(folder: &Path, files: &[String]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| fs::read(folder.join(file)).ok()).collect()
}

/// A process that was killed between two renames leaves a result in two places. Wherever that was, the result is found
/// again, and a repetition from there on ends as any other.
#[test]
fn a_result_is_found_whenever_its_moves_were_cut_off() {
    for moves in [true, false] {
        for moved in 0..=4 {
            let (_folder, store) = store();
            let run = prepared(&store, 0);
            let files = with_files(&run);
            let before = contents(run.path(), &files);
            let previous = run.path().join("previous");
            let rename = |from: &Path, to: &Path, file: &String| fs::rename(from.join(file), to.join(file)).unwrap();
            if moves {
                // `set_aside`: the result first.
                fs::create_dir(&previous).unwrap();
                files.iter().take(moved).for_each(|file| rename(run.path(), &previous, file));
            } else {
                // `put_back`: the result last.
                assert!(run.set_aside().unwrap());
                files.iter().rev().take(moved).for_each(|file| rename(&previous, run.path(), file));
            }
            let there = run.result().is_some();
            assert_eq!(there, moved == if moves { 0 } else { 4 }, "the result says where the others are");
            // The same command again sets aside what is in place, and nothing that is aside already.
            if moves {
                assert_eq!(run.set_aside().unwrap(), there);
                assert!(run.result().is_none());
            }
            let put = run.put_back().unwrap();
            assert_eq!(put, !there || moves, "{moved} files moved, aside: {moves}");
            assert_eq!(contents(run.path(), &files), before, "{moved} files moved, aside: {moves}");
            // A repetition that ends leaves its own result and nothing of before.
            assert!(run.set_aside().unwrap());
            claim(&run).finish(&result(run.id(), 0.75)).unwrap();
            assert!(!run.put_back().unwrap() && !previous.exists());
            assert_eq!(run.result().unwrap().test, result(run.id(), 0.75).test);
        }
    }
}

#[test]
fn the_tail_of_a_log_is_made_of_whole_lines() {
    let (_folder, store) = store();
    let run = prepared(&store, 0);
    fs::write(run.log_path(), "first\nsecond\nthird\n").unwrap();
    assert_eq!(run.log_tail(1000), "first\nsecond\nthird\n");
    assert_eq!(run.log_tail(10), "third\n");
    fs::write(run.log_path(), b"\xff one line without an end").unwrap();
    assert_eq!(run.log_tail(1000), "\u{fffd} one line without an end");
}

/// Opening a pipe would wait for ever.
#[test]
fn a_pipe_in_the_place_of_a_lock_is_refused() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    let lock = run.path().join(".lock");
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    assert_eq!(run.state(), RunState::Missing);
    let refused = run.try_claim().unwrap_err().to_string();
    assert!(refused.starts_with("cannot lock `") && refused.ends_with("it is no regular file; remove it"), "{refused}");
    fs::remove_file(lock).unwrap();
    claim(&run);
}

#[test]
fn identities_of_many_seeds_are_those_of_each() {
    let (ids, seeds) = (config(0).ids(), [0, 7, 12_345, u64::MAX]);
    for bits in [16, 128] {
        let one_by_one: Vec<_> = seeds.iter().map(|seed| ids.id(bits, *seed)).collect();
        assert_eq!(ids.of_seeds(bits, &seeds).collect::<Vec<_>>(), one_by_one);
    }
    assert_eq!(ids.id(16, 7), config(7).id());
}
