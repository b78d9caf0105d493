//! Soft sorting and the losses of pairs on stacked runs beside each run alone: the same bits, for several shapes.

use candle_core::{Device, Result, Tensor, Var};
use hashlab_method::nn::{PerRun, pair_likelihood, shares_label, soft_sort};
use hashlab_rng::stream;

fn draw(name: &str, shape: &[usize]) -> Tensor {
    let mut draws = stream(0, name, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draws.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Runs, rows and columns.
fn shapes() -> impl Iterator<Item = [usize; 3]> {
    let mut draws = stream(5, "shapes", &[]);
    (0..20).map(move |_| [1 + draws.below(4), 1 + draws.below(20), 1 + draws.below(20)])
}

/// Compares `op(x, None)` on stacked runs with `op(x, Some(run))` on each.
#[track_caller]
fn same_as_alone(x: &Tensor, op: impl Fn(&Tensor, Option<usize>) -> Result<Tensor>) {
    let run = |x: &Tensor, at: Option<usize>| {
        let x = Var::from_tensor(x).unwrap();
        let y = op(&x, at).unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        (y, grads.get(&x).unwrap().clone())
    };
    let (together, gradient) = run(x, None);
    for at in 0..x.dim(0).unwrap() {
        let (alone, of_run) = run(&x.get(at).unwrap(), Some(at));
        assert_eq!(bits(&together.get(at).unwrap()), bits(&alone), "value of run {at} of {:?}", x.dims());
        assert_eq!(bits(&gradient.get(at).unwrap()), bits(&of_run), "gradient of run {at} of {:?}", x.dims());
    }
}

#[test]
fn each_run_is_sorted_at_its_own_temperature() {
    for [runs, rows, columns] in shapes() {
        let taus: Vec<f64> = (0..runs).map(|run| 0.3 + 0.7 * run as f64).collect();
        let tau = |at: Option<usize>| at.map_or_else(|| PerRun::from(taus.clone()), |run| taus[run].into());
        let scores = draw("scores", &[runs, rows, columns]);
        same_as_alone(&scores, |x, at| soft_sort(x, tau(at)));
        same_as_alone(&scores, |x, _| soft_sort(x, 0.5));
        // Ties, whose distance has no slope.
        same_as_alone(&scores.round().unwrap(), |x, at| soft_sort(x, tau(at)));
    }
    let scores = draw("scores", &[3, 2, 4]);
    assert!(soft_sort(&scores, vec![0.1, 0.2]).is_err());
    assert!(soft_sort(&scores.get(0).unwrap().get(0).unwrap(), 0.1).is_err());
}

#[test]
fn each_run_has_pairs_of_its_own_or_those_of_all() {
    for [runs, rows, columns] in shapes() {
        let labels = draw("labels", &[runs, rows, columns]).ge(0.7).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        let similar = shares_label(&labels, &labels).unwrap();
        let of = |at: usize| labels.get(at).unwrap();
        for at in 0..runs {
            let alone = shares_label(&of(at), &of(at)).unwrap();
            assert_eq!(bits(&similar.get(at).unwrap()), bits(&alone), "labels of run {at}");
        }
        let theta = draw("theta", &[runs, rows, rows]);
        same_as_alone(&theta, |x, at| {
            pair_likelihood(x, &at.map_or_else(|| similar.clone(), |run| similar.get(run).unwrap()))
        });
        let shared = similar.get(0).unwrap();
        same_as_alone(&theta, |x, _| pair_likelihood(x, &shared));
    }
}
