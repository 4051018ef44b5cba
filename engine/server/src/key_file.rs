//! The file the first key is kept in: made sure of before the key exists, readable by its owner only.
//!
//! Decides nothing about keys. Enter at [`KeyFile::prepare`]; dropped without [`KeyFile::save`] it leaves nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Room for a secret and its line end, taken beforehand so that a full disk is found out in time.
const ROOM: &[u8] = &[b' '; 64];

/// A key file in the making, beside the place it will have.
pub struct KeyFile {
    place: PathBuf,
    making: PathBuf,
    file: File,
}

impl KeyFile {
    /// Makes a file beside `place` and takes the room for a key; what stands at `place` stays as it is.
    ///
    /// # Errors
    /// What the system says when no file can be made or filled there, or `place` is a folder.
    pub fn prepare(place: &Path) -> io::Result<Self> {
        if place.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let making = place.with_extension("new");
        // One left by a crash is in the way: the mode counts only for a file that is made.
        match std::fs::remove_file(&making) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
        let mut prepared = Self { place: place.to_owned(), making, file };
        prepared.file.write_all(ROOM)?;
        prepared.file.sync_all()?;
        Ok(prepared)
    }

    /// Writes the secret and puts the file in its place, safe on disk.
    ///
    /// # Errors
    /// What the system says; never the secret.
    pub fn save(mut self, secret: &str) -> io::Result<()> {
        use std::io::Seek;
        self.file.rewind()?;
        writeln!(self.file, "{secret}")?;
        self.file.set_len(secret.len() as u64 + 1)?;
        self.file.sync_all()?;
        std::fs::rename(&self.making, &self.place)?;
        match self.place.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // After `save` it has moved and there is nothing to remove.
        std::fs::remove_file(&self.making).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("parlance-key-{}", parlance_store::CallId::new()));
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        folder
    }

    #[test]
    fn a_saved_key_is_alone_in_its_folder_and_only_its_owner_reads_it() {
        let folder = folder();
        let place = folder.join("key");
        std::fs::write(
            &place,
            "an older one, far longer than what comes after it: that must not show through",
        )
        .expect("it can be written");
        KeyFile::prepare(&place).and_then(|file| file.save("pk_x")).expect("the key is saved");
        assert_eq!(std::fs::read_to_string(&place).expect("it is there"), "pk_x\n");
        let mode = std::fs::metadata(&place).expect("it is there").permissions().mode();
        let files = std::fs::read_dir(&folder).expect("it is there").count();
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        assert_eq!((mode & 0o777, files), (0o600, 1));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_before_the_key_is_made() {
        let folder = folder();
        assert!(KeyFile::prepare(&folder).is_err(), "a folder stands there");
        assert!(KeyFile::prepare(&folder.join("missing").join("key")).is_err(), "its folder is missing");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn a_file_that_was_not_needed_leaves_what_stood_there() {
        let folder = folder();
        let place = folder.join("key");
        std::fs::write(&place, "old").expect("it can be written");
        drop(KeyFile::prepare(&place).expect("there is room"));
        let kept = std::fs::read_to_string(&place).expect("it is there");
        let files = std::fs::read_dir(&folder).expect("it is there").count();
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        assert_eq!((kept.as_str(), files), ("old", 1));
    }
}
