//! Indexes on disk: additions, interruptions, damage.

use std::fs;
use std::path::Path;

use hashlab_data::Modality;
use hashlab_eval::Codes;
use hashlab_index::{Facts, Index, IndexError, Item, Writer};

const BITS: usize = 12;

fn facts() -> Facts {
    Facts::new("itq-b12-s0-0123456789ab", "digest", BITS, Modality::Text)
}

/// Codes and names of the items of a range.
fn items(range: std::ops::Range<usize>) -> (Codes, Vec<Item>) {
    let signs: Vec<f32> = range
        .clone()
        .flat_map(|i| (0..BITS).map(move |bit| if i >> (bit % 5) & 1 == 0 { 1.0 } else { -1.0 }))
        .collect();
    let names = range.map(|item| Item::Text { text: format!("text {item}") }).collect();
    (Codes::from_signs(&signs, BITS).unwrap(), names)
}

fn append(folder: &Path, range: std::ops::Range<usize>) {
    let (codes, names) = items(range);
    Writer::open(folder, &facts()).unwrap().append(&codes, &names).unwrap();
}

/// Checks that an index holds the first `count` items.
fn holds(folder: &Path, count: usize) {
    let index = Index::open(folder).unwrap();
    let (codes, names) = items(0..count);
    assert_eq!(index.items(), names);
    for item in 0..count {
        let hits = index.nearest(codes.item(item), count);
        assert_eq!(hits.len(), count);
        assert!(hits.iter().any(|hit| hit.item == item && hit.distance == 0));
    }
}

#[test]
fn items_are_added_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), 0..7);
    append(folder.path(), 7..7);
    append(folder.path(), 7..20);
    holds(folder.path(), 20);
    let header = fs::read(folder.path().join("codes.npy")).unwrap();
    assert!(String::from_utf8_lossy(&header[..128]).contains("'shape': (20, 2)"));
}

#[test]
fn what_a_killed_process_began_does_not_count_and_is_overwritten() {
    // A cut at any byte of either file, as if the process had been killed there or the disk been full.
    let whole = tempfile::tempdir().unwrap();
    append(whole.path(), 0..5);
    append(whole.path(), 5..9);
    for (file, start) in [("codes.npy", 128 + 10), ("items.jsonl", 5 * "{\"text\":\"text 0\"}\n".len())] {
        let bytes = fs::read(whole.path().join(file)).unwrap();
        for cut in start..bytes.len() {
            let folder = tempfile::tempdir().unwrap();
            for name in ["index.json", "codes.npy", "items.jsonl"] {
                fs::copy(whole.path().join(name), folder.path().join(name)).unwrap();
            }
            fs::write(folder.path().join(file), &bytes[..cut]).unwrap();
            let left = Index::open(folder.path()).unwrap().items().len();
            assert!((5..9).contains(&left), "{file} cut at {cut}: {left}");
            append(folder.path(), left..12);
            holds(folder.path(), 12);
        }
    }
}

#[test]
fn another_model_a_second_writer_and_damage_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Index::open(folder.path()), Err(IndexError::Absent { .. })));
    append(folder.path(), 0..3);
    let other = Facts::new("itq-b12-s0-0123456789ab", "another digest", BITS, Modality::Text);
    let foreign = Writer::open(folder.path(), &other).unwrap_err();
    assert!(matches!(foreign, IndexError::Foreign { .. }), "{foreign}");
    let first = Writer::open(folder.path(), &facts()).unwrap();
    assert!(matches!(Writer::open(folder.path(), &facts()), Err(IndexError::Busy { .. })));
    drop(first);
    let lines = folder.path().join("items.jsonl");
    fs::write(&lines, "{\"text\":\"a\"}\n{\"words\":\"b\"}\n{\"text\":\"c\"}\n").unwrap();
    let damaged = Index::open(folder.path()).unwrap_err().to_string();
    assert!(damaged.contains("items.jsonl") && damaged.contains("line 2"), "{damaged}");
    let facts = folder.path().join("index.json");
    fs::write(&facts, fs::read_to_string(&facts).unwrap().replace("\"schema\": 1", "\"schema\": 9")).unwrap();
    let newer = Index::open(folder.path()).unwrap_err().to_string();
    assert!(newer.contains("its schema is 9, not 1"), "{newer}");
}
