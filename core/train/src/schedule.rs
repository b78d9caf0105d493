//! Learning rates over the course of a training.

use std::f64::consts::PI;

use hashlab_method::{Progress, Schedule, ScheduleKind, Unit};

/// The factor on the full learning rate at a step.
pub(crate) fn factor(schedule: &Schedule, at: &Progress) -> f64 {
    let steps_per_epoch = at.steps / at.epochs.max(1);
    let (now, all, warmup) = match schedule.unit {
        Unit::Epoch => (at.epoch, at.epochs, schedule.warmup_epochs),
        Unit::Step => (at.step, at.steps, schedule.warmup_epochs * steps_per_epoch),
    };
    if now < warmup {
        return schedule.warmup_start + (1.0 - schedule.warmup_start) * now as f64 / warmup as f64;
    }
    curve(&schedule.kind, now - warmup, all - warmup)
}

/// The curve at unit `now` of `all`.
fn curve(kind: &ScheduleKind, now: usize, all: usize) -> f64 {
    match kind {
        ScheduleKind::Constant => 1.0,
        ScheduleKind::Step { every, factor } => factor.powi((now / every) as i32),
        ScheduleKind::MultiStep { milestones, factor } => {
            factor.powi(milestones.iter().filter(|milestone| now >= **milestone).count() as i32)
        }
        ScheduleKind::Cosine { floor } => {
            floor + (1.0 - floor) * 0.5 * (1.0 + (PI * now as f64 / all.max(1) as f64).cos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(kind: ScheduleKind, unit: Unit, warmup_epochs: usize) -> Vec<f64> {
        let schedule = Schedule { kind, unit, warmup_epochs, warmup_start: 0.1 };
        let at = |step: usize| Progress { epoch: step / 2, epochs: 4, step, steps: 8, seeds: vec![0] };
        (0..8).map(|step| (factor(&schedule, &at(step)) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn schedules_by_epoch_hold_for_its_steps() {
        let step = ScheduleKind::Step { every: 2, factor: 0.1 };
        assert_eq!(factors(step, Unit::Epoch, 0), [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1]);
        let cosine = ScheduleKind::Cosine { floor: 0.0 };
        assert_eq!(factors(cosine, Unit::Epoch, 0), [1.0, 1.0, 0.8536, 0.8536, 0.5, 0.5, 0.1464, 0.1464]);
        assert_eq!(factors(ScheduleKind::Constant, Unit::Epoch, 0), [1.0; 8]);
    }

    #[test]
    fn schedules_by_step_move_with_every_step() {
        let milestones = ScheduleKind::MultiStep { milestones: vec![3, 6], factor: 0.5 };
        assert_eq!(factors(milestones, Unit::Step, 0), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
        let cosine = ScheduleKind::Cosine { floor: 0.5 };
        assert_eq!(factors(cosine, Unit::Step, 0)[4], 0.75);
    }

    #[test]
    fn the_warm_up_rises_linearly_and_the_curve_follows_it() {
        assert_eq!(factors(ScheduleKind::Constant, Unit::Step, 2), [0.1, 0.325, 0.55, 0.775, 1.0, 1.0, 1.0, 1.0]);
        let cosine = ScheduleKind::Cosine { floor: 0.0 };
        assert_eq!(factors(cosine, Unit::Epoch, 2), [0.1, 0.1, 0.55, 0.55, 1.0, 1.0, 0.5, 0.5]);
    }
}
