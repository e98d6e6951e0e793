//! Waiting: for a condition, never for time to pass.
//!
//! Nothing else in the tests pauses. A condition that the kernel announces (a readable socket, a
//! closed pipe) is waited for where it is used; what must be asked again and again (an id that is
//! to vanish, a counter that is to rise) is asked here. The limit is for the failure alone: a test
//! that passes does not depend on how long anything took.

use std::time::{Duration, Instant};

/// How long anything may take that is bound to come: far more than a loaded machine needs.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Asks until `condition` gives a value.
///
/// # Panics
/// When [`LIMIT`] is over: `what` did not come.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    let found = within(LIMIT, condition);
    found.unwrap_or_else(|| panic!("waited {LIMIT:?} in vain for: {what}"))
}

/// Asks until `condition` holds.
///
/// # Panics
/// When [`LIMIT`] is over: `what` did not come.
#[track_caller]
pub fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Asks until `condition` gives a value or the limit is over.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if began.elapsed() >= limit {
            return None;
        }
        breathe(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Leaves the processor to what is being waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where a condition is polled"
)]
fn breathe(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_waited_for() {
        let mut asked = 0;
        let value = until("the third answer", || {
            asked += 1;
            (asked == 3).then_some("third")
        });
        assert_eq!((value, asked), ("third", 3));
    }

    #[test]
    fn what_never_comes_ends_at_the_limit() {
        assert_eq!(within(Duration::ZERO, || None::<()>), None);
    }
}
