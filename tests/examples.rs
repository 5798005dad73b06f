//! The examples of the crate do what they say.

#[path = "../examples/train_and_act.rs"]
#[expect(dead_code, reason = "main is the example's")]
mod train_and_act;

#[test]
fn a_clone_trained_in_code_balances_the_pole() {
    let mean = train_and_act::train_and_act().unwrap();
    assert!(mean >= 300.0, "{mean}");
}
