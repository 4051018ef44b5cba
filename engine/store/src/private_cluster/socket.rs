//! Where the socket lies: in the cluster's folder, or in a short folder when that path is too long.
//!
//! A socket's path must stay under some 100 bytes, whatever the system's limit on other paths is.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{Account, our_uid};
use super::{ClusterError, Paths};
use crate::page::hex;

/// The longest folder: `/.s.PGSQL.5432.lock` and the ending zero come to 20 of the 104 bytes macOS allows.
const LONGEST: usize = 84;

/// The port is only a part of the socket's name here.
pub(super) const PORT: u16 = 5432;

/// Makes the folder, closed to everyone but the server's account (and root).
pub(super) fn folder(paths: &Paths, account: Option<&Account>) -> Result<PathBuf, ClusterError> {
    let folder = place(&paths.dir);
    let what = format!("make the folder {}", folder.display());
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            refuse_strangers(&folder, account)?
        }
        Err(error) => return Err(ClusterError::failed(what, error)),
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(ClusterError::io(what))?;
    if let Some(account) = account {
        account.own(&folder)?;
    }
    Ok(folder)
}

fn place(dir: &Path) -> PathBuf {
    let beside = dir.join("run");
    // Postgres takes a list here, with commas between.
    if beside.as_os_str().len() <= LONGEST && !beside.to_string_lossy().contains(',') {
        return beside;
    }
    let mark = hex(&Sha256::digest(dir.as_os_str().as_encoded_bytes())[..8]);
    PathBuf::from("/tmp").join(format!("parlance-{mark}"))
}

/// In a folder open to all, somebody else may have made the name before us, even as a link.
fn refuse_strangers(folder: &Path, account: Option<&Account>) -> Result<(), ClusterError> {
    let look = ClusterError::io(format!("look at {}", folder.display()));
    let found = fs::symlink_metadata(folder).map_err(look)?;
    let ours = found.uid() == our_uid()? || account.is_some_and(|account| found.uid() == account.uid);
    if found.is_dir() && ours {
        return Ok(());
    }
    Err(ClusterError::failed("use a socket folder", format!("{} is not ours", folder.display())))
}

/// The socket in `folder`.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// The address for a client. Bytes that mean something in a URL are escaped.
pub(super) fn url(folder: &Path) -> String {
    let escaped: String = folder
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("postgres://{}@/postgres?host={escaped}", super::launch::SUPERUSER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_or_odd_folder_gets_a_short_socket_folder_of_its_own() {
        let (deep, odd) = (PathBuf::from(format!("/{}", "d".repeat(90))), Path::new("/a,b"));
        assert!(place(&deep).starts_with("/tmp") && place(odd).starts_with("/tmp"));
        assert_ne!(place(&deep), place(odd));
        assert_eq!(place(Path::new("/data")), Path::new("/data/run"));
    }

    #[test]
    fn the_address_survives_spaces_and_question_marks_in_the_folder() {
        assert_eq!(url(Path::new("/a b?/run")), "postgres://parlance@/postgres?host=/a%20b%3F/run");
    }
}
