//! A database that is read in parts gives the bits of one in memory.

use hashlab_eval::{
    Codes, Database, EvalError, Grades, LabelSets, Options, Visit, evaluate, evaluate_graded, evaluate_streamed,
};

use crate::reference::Problem;

/// Reads `part` items at a time.
struct Parts<'a> {
    problem: &'a Problem,
    part: usize,
    announced: usize,
    reads: usize,
}

impl Database for Parts<'_> {
    type Error = EvalError;

    fn len(&self) -> usize {
        self.announced
    }

    fn read(&mut self, visit: Visit<'_, EvalError>) -> Result<(), EvalError> {
        self.reads += 1;
        let Problem { bits, words, database, .. } = self.problem;
        let relaxed = database.relaxed.chunks(self.part * bits);
        for (relaxed, labels) in relaxed.zip(database.labels.chunks(self.part * words)) {
            visit(&Codes::from_signs(relaxed, *bits)?, LabelSets::new(labels, *words)?)?;
        }
        Ok(())
    }
}

#[test]
fn parts_of_any_size_give_the_same_bits() {
    for (seed, bits, classes) in [(1, 12, 6), (2, 64, 70), (3, 200, 5)] {
        let problem = Problem::random(seed, bits, classes, 37, 2_500);
        let options = Options { map_at: Some(100), ranks: vec![1, 700], curves: true, ..Options::default() };
        let [(query, query_labels), (database, labels)] = problem.sides().unwrap();
        let whole = evaluate(&query, query_labels, &database, labels, &options).unwrap();
        for (part, memory, reads) in [(2_500, usize::MAX, 2), (1_024, 1 << 20, 2), (77, 0, 4)] {
            let mut parts = Parts { problem: &problem, part, announced: 2_500, reads: 0 };
            let streamed = evaluate_streamed(&query, query_labels, &mut parts, &options, memory).unwrap();
            assert!(bits_of(&streamed) == bits_of(&whole), "{bits} bits in parts of {part}");
            assert_eq!(
                parts.reads, reads,
                "a pass for the labels, and one for each of three groups where memory holds one"
            );
        }
    }
}

/// The bits of every value, as NaN equals nothing.
fn bits_of(report: &hashlab_eval::Report) -> Vec<u64> {
    let values = report.queries().values().chain(report.curves().values()).flatten();
    values.map(|value| value.to_bits()).collect()
}

#[test]
fn a_database_of_another_size_than_announced_is_refused() {
    let problem = Problem::random(1, 8, 3, 4, 50);
    let [(query, query_labels), _] = problem.sides().unwrap();
    let mut parts = Parts { problem: &problem, part: 20, announced: 60, reads: 0 };
    let refused = evaluate_streamed(&query, query_labels, &mut parts, &Options::default(), 1 << 20);
    assert_eq!(refused.unwrap_err(), EvalError::Changed { expected: 60, found: 50 });
}

#[test]
fn grades_of_shared_labels_give_the_bits_of_the_labels() {
    let problem = Problem::random(8, 24, 9, 21, 1_500);
    let [(query, query_labels), (database, labels)] = problem.sides().unwrap();
    let shared = |q: usize, i: usize| (query_labels.item(q)[0] & labels.item(i)[0]).count_ones() as u8;
    let grades: Vec<u8> = (0..21).flat_map(|q| (0..1_500).map(move |i| (q, i))).map(|(q, i)| shared(q, i)).collect();
    let options = Options { map_at: Some(50), curves: true, ..Options::default() };
    let by_labels = evaluate(&query, query_labels, &database, labels, &options).unwrap();
    let by_grades = evaluate_graded(&query, &database, Grades::new(&grades, 1_500).unwrap(), &options).unwrap();
    assert!(bits_of(&by_labels) == bits_of(&by_grades));
}
