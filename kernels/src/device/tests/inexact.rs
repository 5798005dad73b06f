//! The kernels with the last bits of another mathematics library, as a device has one.

use super::{build, fake_driver, sources};
use crate::device::tests::faults::again;

/// The tests of ops, of the model and of steps pass with these kernels, too: so what they allow is
/// not what this machine's library happens to give.
#[test]
fn comparisons_pass_with_functions_two_units_off_and_without_contraction() {
    // The run below must not run itself again.
    if std::env::var_os(super::LIBRARY_VARIABLE).is_some() || fake_driver().is_none() {
        return;
    }
    for seed in 1..=2 {
        let options = [
            format!("-DRTG_EMULATED_ULPS={seed}"),
            "-ffp-contract=off".to_owned(),
        ];
        let options = options.each_ref().map(String::as_str);
        let library = build(sources(), &format!("inexact-{seed}.so"), &options);
        for tests in [
            "device::tests::attention",
            "device::tests::ops",
            "device::tests::ends",
            "cuda::tests::",
        ] {
            let (passed, said) = again(&library, tests, &[]);
            assert!(
                passed && said.contains("test result: ok"),
                "seed {seed}: {said}"
            );
            assert!(!said.contains(" 0 passed"), "{said}");
        }
    }
}
