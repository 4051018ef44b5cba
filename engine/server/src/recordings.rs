//! The recordings that lie in the engine's own folder, and how one is removed.
//!
//! Only the file that the recorder itself names after a call is ever touched: an address in a row may point anywhere.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use parlance_store::CallId;

/// What became of a recording that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Nothing is left of it.
    Done,
    /// It is not in this engine's folder, if it is anywhere: this is its address.
    Elsewhere(String),
    /// It is there and could not be removed; the cause was logged.
    Failed,
}

/// Where the recording of a call lies, or would.
pub fn path(folder: &Path, call: CallId) -> PathBuf {
    folder.join(format!("{call}.wav"))
}

/// A recording's address as calls have it.
pub fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Removes the recording of `call` from `folder`; `known` is the address that the call has, if it has one.
pub async fn remove(folder: &Path, call: CallId, known: Option<String>) -> Removal {
    let path = path(folder, call);
    match tokio::fs::remove_file(&path).await {
        Ok(()) => Removal::Done,
        Err(error) if error.kind() == ErrorKind::NotFound => known.map_or(Removal::Done, Removal::Elsewhere),
        Err(error) => {
            tracing::error!(%call, path = %path.display(), %error, "a recording could not be removed");
            Removal::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_file_that_is_named_after_the_call_is_removed() {
        let call = CallId::new();
        let folder = std::env::temp_dir().join(format!("parlance-recordings-{call}"));
        let ours = path(&folder, call);
        let foreign = folder.join("foreign.wav");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(&ours, "ours").expect("it can be written");
        std::fs::write(&foreign, "foreign").expect("it can be written");
        assert_eq!(remove(&folder, call, Some(uri(&foreign))).await, Removal::Done);
        assert!(!ours.exists() && foreign.exists());
        assert_eq!(remove(&folder, call, None).await, Removal::Done);
        let elsewhere = remove(&folder, call, Some(uri(&foreign))).await;
        assert_eq!(elsewhere, Removal::Elsewhere(uri(&foreign)));
        assert!(foreign.exists());
        std::fs::create_dir(&ours).expect("it can be made");
        assert_eq!(remove(&folder, call, Some(uri(&ours))).await, Removal::Failed);
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
