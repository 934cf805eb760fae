//! How many cores there are. The system is asked once: it reads files to know.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::LazyLock,
    thread::available_parallelism,
};

/// Those that this process may use; one if the system does not say.
pub(crate) fn cores() -> NonZeroU32 {
    static CORES: LazyLock<NonZeroU32> = LazyLock::new(|| {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        u32::try_from(cores).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    });
    *CORES
}
