//! Work under way in the engine's runtime, which ends when nobody wants it any more.

use tokio::task::JoinHandle;

/// A task that is aborted when this is dropped.
pub(crate) struct Running(pub(crate) JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
