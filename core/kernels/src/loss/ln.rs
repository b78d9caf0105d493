//! The natural logarithm, in a form that the compiler turns into vector code.

/// Computes ln `x` of a positive number that is not subnormal to about 2e-7 relative, or 1e-7 where the result is near
/// 0.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    /// ln 2 as a number of few digits and the rest, so that multiples of the first are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// The bits of √½: mantissas are taken from there to √2.
    const LEAST: u32 = 0x3f35_04f3;
    let above = x.to_bits().wrapping_sub(LEAST);
    let power = ((above as i32) >> 23) as f32;
    let mantissa = f32::from_bits((above & 0x007f_ffff).wrapping_add(LEAST));
    // ln m = 2 artanh s; the series' rest is below 1e-9 for |s| <= 0.172.
    let m = mantissa - 1.0;
    let s = m / (m + 2.0);
    let square = s * s;
    let series = 2.0 / 7.0 + square * (2.0 / 9.0);
    let series = square * (2.0 / 3.0 + square * (2.0 / 5.0 + square * series));
    // 2s = m − s·m, of which m is exact.
    let ln = power * LN2[0] + (m - (s * (m - series) - power * LN2[1]));
    // Infinity and NaN stay what they are.
    if x < f32::INFINITY { ln } else { x }
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn it_is_the_natural_logarithm() {
        for i in 1..400_000u32 {
            let x = f32::from_bits(0x0080_0000 + i * 5_000);
            let expected = f64::from(x).ln();
            let error = (f64::from(ln(x)) - expected).abs();
            assert!(error < 2e-7 * expected.abs().max(0.5), "{x}: {error}");
        }
        for i in 1..20_000 {
            let x = i as f32 / 10_000.0;
            let expected = f64::from(x).ln();
            assert!((f64::from(ln(x)) - expected).abs() < 1e-7 * expected.abs().max(1e-3), "{x}");
        }
        assert_eq!([ln(1.0), ln(f32::INFINITY)], [0.0, f32::INFINITY]);
        assert!(ln(f32::NAN).is_nan());
    }
}
