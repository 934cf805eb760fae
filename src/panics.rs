//! Panics, wherever they are.
//!
//! **Invariants**
//! - Each is counted, also one that nobody waits for (`a_panic_that_nobody_waits_for_is_counted`).
//! - It is logged by its place alone: what it says may be of a text.

use std::{
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts and logs them from now on, for this process.
pub(crate) fn watch() {
    panic::set_hook(Box::new(note));
}

/// How many there were since then.
pub(crate) fn count() -> u64 {
    COUNT.load(Relaxed)
}

fn note(panic: &PanicHookInfo<'_>) {
    COUNT.fetch_add(1, Relaxed);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        place,
        thread = thread::current().name().unwrap_or_default(),
        "a panic: this is a fault of onrecord"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_nobody_waits_for_is_counted() {
        let before = count();
        watch();
        let fell = thread::spawn(|| panic!("as a task may")).join();
        drop(panic::take_hook());
        assert!(fell.is_err() && count() > before);
    }
}
