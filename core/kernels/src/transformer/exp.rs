//! The exponential function, in a form that the compiler turns into vector code.

/// Computes e to the `x` to about 1e-7 relative; results below the smallest normal number are 0.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which the last bits of the sum hold, and subtracting it gives that back.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 as a number of few digits and the rest, so that multiples of the first are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = clamped - power * LN2[0] - power * LN2[1];
    // Taylor's series to the 7th power on |r| <= ln 2 / 2: the rest is 5e-9.
    let series = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * series);
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * series)));
    // The integer from the bits: a cast saturates, for which the compiler takes every element out of its vector.
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let scale = f32::from_bits(exponent << 23);
    // Written as a comparison, so that a NaN stays one.
    if x < -87.0 { 0.0 } else { series * scale }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn it_is_the_exponential_function() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() < 3e-7 * expected, "{x}");
        }
        assert_eq!([exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan());
    }
}
