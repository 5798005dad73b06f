//! The examples of the crate do what they say.

#[path = "../examples/balance.rs"]
#[expect(dead_code, reason = "main is the example's")]
mod balance;

#[test]
fn the_rule_balances_the_poles() {
    let mean = balance::balance().unwrap();
    assert!(mean >= 400.0, "{mean}");
}
