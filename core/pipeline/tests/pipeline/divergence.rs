//! Losses and weights that become infinite or NaN.

use hashlab_pipeline::run::RunEnd;
use hashlab_store::{RunConfig, Status};
use serde_json::json;

use crate::finetune::Stopper;
use crate::{Notes, PROBE, changed, config, execute, execute_config, result, table};

#[test]
fn a_loss_that_is_not_a_number_is_a_result_and_says_where() {
    let (result, notes) = execute(&PROBE, 7);
    assert_eq!((result.status, notes.epochs), (Status::Diverged, 2));
    assert_eq!(result.message.as_deref(), Some("not finite at step 8 (epoch 3): loss NaN, square NaN"));
    assert!(result.test.is_empty() && result.validation.is_empty());
}

#[test]
fn a_training_that_diverged_is_not_kept_when_it_is_stopped() {
    // Stopped within the third epoch: before its second step, whose loss is none, and right after it.
    for (after, status) in [(7, None), (8, Some(Status::Diverged))] {
        let mut stopper = Stopper::after(after);
        let found = match execute_config(&config(&PROBE, 7), &PROBE, &mut stopper).unwrap() {
            RunEnd::Result { result, model, queries, .. } => {
                assert!(model.is_none() && queries.is_none(), "no state of a diverged run is worth keeping");
                Some(result.status)
            }
            RunEnd::Interrupted | RunEnd::Stopped { .. } => None,
        };
        assert_eq!((found, stopper.checkpoint.is_some()), (status, status.is_none()), "stopped after {after} steps");
    }
}

#[test]
fn a_step_that_fails_after_a_loss_that_is_not_a_number_is_a_divergence() {
    let execute = |nan_from: usize| {
        let params = table(json!({ "nan_from": nan_from, "fails_at": 8 }));
        execute_config(&RunConfig { params, ..config(&PROBE, 0) }, &PROBE, &mut Notes::default())
    };
    let message = result(execute(7).unwrap()).message;
    assert_eq!(message.as_deref(), Some("not finite at step 8 (epoch 3): loss NaN, square NaN"));
    assert_eq!(execute(0).err().unwrap().to_string(), "step 9 fails");
}

#[test]
fn an_update_that_breaks_the_weights_is_found_before_they_are_evaluated() {
    // The last steps of an epoch that is validated, and of a training that is not.
    for (breaks_at, epoch, select) in [(5, 2, "best"), (17, 6, "last")] {
        let plain = config(&PROBE, 0);
        let train = changed(plain.train.clone(), json!({ "select": select }));
        let config = RunConfig { params: table(json!({ "breaks_at": breaks_at })), train, ..plain };
        let result = result(execute_config(&config, &PROBE, &mut Notes::default()).unwrap());
        assert_eq!(result.status, Status::Diverged);
        let message = result.message.unwrap();
        assert!(message.ends_with(&format!("is not finite after epoch {epoch}")), "{message}");
    }
}
