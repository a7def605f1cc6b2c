//! Where the application's panics end.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The application panicked. What it said has gone to the panic hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed;

/// Runs the application's code and stops its panic here.
///
/// Unwind safety is asserted because what the code could have left half-changed is either thrown
/// away (a channel's state) or its own affair (assigns, and what it shares by itself).
pub(crate) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, Crashed> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        // A panic may carry a value whose drop panics as well; that one is leaked.
        if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(worse);
        }
        Crashed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn a_panic_with_a_value_that_panics_ends_here_too() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| panic!("said")), Err::<(), _>(Crashed));
        assert_eq!(
            caught(|| std::panic::panic_any(Bomb)),
            Err::<(), _>(Crashed)
        );
    }
}
