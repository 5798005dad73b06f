//! Catches panics of libraries without printing them.
//!
//! Some libraries panic on damaged files, in places where they trust a length or a type. Their
//! output to stderr is suppressed here, on the reading thread only, and the panic becomes a value.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`; `None` if it panics, of which nothing is printed.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.with(Cell::get) {
                before(panic);
            }
        }));
    });
    let before = IS_QUIET.with(|quiet| quiet.replace(true));
    let result = catch_unwind(AssertUnwindSafe(work)).ok();
    IS_QUIET.with(|quiet| quiet.set(before));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_value_and_the_thread_is_loud_again() {
        assert_eq!(catch(|| 3), Some(3));
        assert_eq!(catch(|| -> i32 { panic!("a library's") }), None);
        assert!(!IS_QUIET.with(Cell::get));
        assert_eq!(catch(|| catch(|| -> i32 { panic!("inner") })), Some(None));
    }
}
