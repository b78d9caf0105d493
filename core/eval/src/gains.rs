//! Cumulative gain: NDCG with gains of 1 and with grades, and ACG.
//!
//! Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002. Hashing papers with several
//! labels per item count shared labels as the grade (Zhao et al., "Deep semantic ranking based hashing", CVPR 2015).

use crate::ranking::Ranking;

/// Discounts by rank, computed once for all queries.
pub(crate) struct Gains {
    /// `1/log2(r + 1)` for ranks `r` from 1.
    gains: Vec<f64>,
    /// The sum of the first gains, from that of none.
    sums: Vec<f64>,
}

impl Gains {
    /// Computes the discounts of ranks 1 to `depth`.
    pub(crate) fn to(depth: usize) -> Self {
        let gains: Vec<f64> = (1..=depth).map(|rank| 1.0 / (rank as f64 + 1.0).log2()).collect();
        let mut sums = vec![0.0];
        sums.extend(gains.iter().scan(0.0, |sum, gain| {
            *sum += gain;
            Some(*sum)
        }));
        Self { gains, sums }
    }

    /// The gain of the best ranking of `relevant` relevant items of grade 1, to the depth.
    pub(crate) fn best(&self, relevant: usize) -> f64 {
        self.sums[relevant.min(self.gains.len())]
    }

    fn at(&self, rank: u32) -> f64 {
        self.gains[rank as usize - 1]
    }

    /// NDCG of the first `hits` relevant items, each with gain 1.
    pub(crate) fn ndcg(&self, ranking: &Ranking, hits: usize) -> f64 {
        if hits == 0 {
            return 0.0;
        }
        let gain: f64 = ranking.hits()[..hits].iter().map(|&rank| self.at(rank)).sum();
        gain / self.best(ranking.relevant())
    }

    /// NDCG of the first `hits` relevant items, with gain `2^grade − 1`, against the ranking by grade.
    pub(crate) fn graded_ndcg(&self, ranking: &Ranking, hits: usize) -> f64 {
        let Some(grades) = ranking.grades() else { return self.ndcg(ranking, hits) };
        if hits == 0 {
            return 0.0;
        }
        let gained = ranking.hits()[..hits].iter().zip(grades);
        let gain: f64 = gained.map(|(&rank, &grade)| worth(grade) * self.at(rank)).sum();
        gain / self.best_by_grade(grades)
    }

    /// The gain of the ranking by grade, to the depth.
    fn best_by_grade(&self, grades: &[u16]) -> f64 {
        let counts = counts(grades);
        let mut ranks = 0;
        let of_grade = |(grade, &count): (usize, &usize)| {
            let before = self.best(ranks);
            ranks += count;
            worth(grade as u16) * (self.best(ranks) - before)
        };
        counts.iter().enumerate().rev().filter(|(_, count)| **count > 0).map(of_grade).sum()
    }
}

/// The number of items of each grade, from 0 to the highest.
fn counts(grades: &[u16]) -> Vec<usize> {
    /// Grades that are counted one after the other: vectors compare faster than a counter is incremented again and again.
    const FEW: u16 = 16;
    let highest = grades.iter().copied().max().unwrap_or(0);
    if highest < FEW {
        return (0..=highest).map(|grade| grades.iter().filter(|&&other| other == grade).count()).collect();
    }
    let mut counts = vec![0; usize::from(highest) + 1];
    grades.iter().for_each(|&grade| counts[usize::from(grade)] += 1);
    counts
}

/// The gain of an item of a grade. Grades from 60 on are alike: higher powers would leave the range of numbers.
fn worth(grade: u16) -> f64 {
    (1u64 << grade.min(60)) as f64 - 1.0
}

/// ACG: the mean grade of the first `depth` items, `hits` of which are relevant.
pub(crate) fn average_gain(ranking: &Ranking, hits: usize, depth: usize) -> f64 {
    let sum: usize = match ranking.grades() {
        Some(grades) => grades[..hits].iter().map(|&grade| usize::from(grade)).sum(),
        None => hits,
    };
    sum as f64 / depth.min(ranking.items()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_grades_are_counted_alike() {
        let few: Vec<u16> = (0..200).map(|at| at * at % 7).collect();
        let (counted, many) = (counts(&few), counts(&[&few[..], &[40]].concat()));
        assert_eq!(counted.iter().sum::<usize>(), 200);
        assert_eq!(many[..counted.len()], counted);
        assert_eq!((many.len(), many[40], counts(&[]).len()), (41, 1, 1));
    }
}
