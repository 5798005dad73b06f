//! The examples of the crate do what they say.

#[path = "../examples/batches.rs"]
#[expect(dead_code, reason = "main is the example's")]
mod batches;

#[test]
fn batches_are_drawn_from_a_dataset() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/minari/tiny/pendulum-v0"
    );
    let (windows, transitions) = batches::batches(path).unwrap();
    assert_eq!((windows.rows, windows.context), (64, 20));
    assert_eq!(windows.observations.len(), 64 * 20 * 3);
    assert_eq!(transitions.observations.len(), 256 * 3);
    assert!(windows.observations.iter().any(|number| *number != 0.0));
}
