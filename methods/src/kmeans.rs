//! k-means, for anchors.
//!
//! Lloyd's algorithm from k different random items. The same stream gives the same centers for any number of threads.

use anyhow::{Result, ensure};
use candle_core::Tensor;
use hashlab_rng::Stream;

/// Rows whose distances to all centers are held at once.
pub(crate) const CHUNK: usize = 1024;

/// The `k` centers `(k, d)` of rows `x` `(n, d)`, after `iterations` rounds or when no row changes its center.
///
/// A center that loses all its rows keeps its position.
///
/// # Errors
/// If there are fewer rows than centers.
pub(crate) fn kmeans(x: &Tensor, k: usize, iterations: usize, rng: &mut Stream) -> Result<Tensor> {
    let (n, d) = x.dims2()?;
    ensure!(k <= n, "{k} centers need at least {k} items, there are {n}");
    let rows = x.flatten_all()?.to_vec1::<f32>()?;
    let mut centers: Vec<f32> = rng.distinct(k, n).iter().flat_map(|&i| &rows[i * d..(i + 1) * d]).copied().collect();
    let mut owners = Vec::new();
    for _ in 0..iterations {
        let next = nearest(x, &Tensor::from_slice(&centers, (k, d), x.device())?)?;
        if next == owners {
            break;
        }
        owners = next;
        move_to_means(&mut centers, &rows, &owners, d);
    }
    Ok(Tensor::from_vec(centers, (k, d), x.device())?)
}

/// Squared distances `(n, k)` between rows `x` `(n, d)` and `centers` `(k, d)`.
pub(crate) fn squared_distances(x: &Tensor, centers: &Tensor) -> Result<Tensor> {
    let norms = |rows: &Tensor| rows.sqr()?.sum_keepdim(1);
    let products = (x.matmul(&centers.t()?)? * -2.0)?;
    let distances = products.broadcast_add(&norms(x)?)?.broadcast_add(&norms(centers)?.t()?)?;
    Ok(distances.relu()?) // rounding can make the smallest negative
}

/// The nearest center of each row.
fn nearest(x: &Tensor, centers: &Tensor) -> Result<Vec<u32>> {
    let n = x.dim(0)?;
    let mut owners = Vec::with_capacity(n);
    for start in (0..n).step_by(CHUNK) {
        let rows = x.narrow(0, start, CHUNK.min(n - start))?;
        owners.extend(squared_distances(&rows, centers)?.argmin(1)?.to_vec1::<u32>()?);
    }
    Ok(owners)
}

/// Moves each center of `d` values to the mean of its rows, summed in f64 and in the order of the rows.
fn move_to_means(centers: &mut [f32], rows: &[f32], owners: &[u32], d: usize) {
    let mut sums = vec![0f64; centers.len()];
    let mut counts = vec![0usize; centers.len() / d];
    for (row, &owner) in rows.chunks_exact(d).zip(owners) {
        let owner = owner as usize;
        counts[owner] += 1;
        sums[owner * d..(owner + 1) * d].iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    for ((center, sums), &count) in centers.chunks_exact_mut(d).zip(sums.chunks_exact(d)).zip(&counts) {
        if count > 0 {
            center.iter_mut().zip(sums).for_each(|(center, sum)| *center = (sum / count as f64) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// 200 items around 4 points.
    fn clusters() -> Tensor {
        let mut rng = hashlab_rng::stream(0, "kmeans-test", &[]);
        let values = (0..200 * 2).map(|i| {
            let (item, axis) = (i / 2, i % 2);
            (10 * (item >> axis & 1)) as f32 + 0.5 * rng.normal() as f32
        });
        Tensor::from_iter(values.collect::<Vec<_>>(), &Device::Cpu).unwrap().reshape((200, 2)).unwrap()
    }

    fn cost(x: &Tensor, centers: &Tensor) -> f64 {
        let smallest = squared_distances(x, centers).unwrap().min(1).unwrap();
        smallest.to_vec1::<f32>().unwrap().into_iter().map(f64::from).sum()
    }

    #[test]
    fn no_iteration_raises_the_cost_and_the_last_leaves_centers_at_means() {
        let x = clusters();
        let run = |iterations| kmeans(&x, 9, iterations, &mut hashlab_rng::stream(1, "kmeans-test", &[])).unwrap();
        let costs: Vec<f64> = (0..12).map(|iterations| cost(&x, &run(iterations))).collect();
        assert!(costs.windows(2).all(|pair| pair[1] <= pair[0] + 1e-3), "{costs:?}");
        assert!(costs[11] < 0.9 * costs[0]);
        let centers = run(100);
        let mut values: Vec<f32> = centers.flatten_all().unwrap().to_vec1().unwrap();
        let before = values.clone();
        move_to_means(
            &mut values,
            &x.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            &nearest(&x, &centers).unwrap(),
            2,
        );
        assert_eq!(before, values);
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        let x = Tensor::new(&[[1f32, 2.0], [0.0, -1.0]], &Device::Cpu).unwrap();
        let centers = Tensor::new(&[[1f32, 2.0], [4.0, 6.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let found = squared_distances(&x, &centers).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, [[0.0, 25.0, 5.0], [10.0, 65.0, 1.0]]);
    }

    #[test]
    fn more_centers_than_items_are_refused() {
        assert!(kmeans(&clusters(), 201, 1, &mut hashlab_rng::stream(0, "kmeans-test", &[])).is_err());
    }
}
