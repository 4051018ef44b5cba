//! Which installed Postgres runs the cluster: the one that made its data, else the newest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// Where packages put the programs that are not in `PATH`; `*` stands for a version.
const LIBRARY_FOLDERS: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A folder with `initdb`, `postgres` and `pg_ctl` of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Looks in `setting` alone if it is given, else in `PATH` and the library folders.
    pub(super) fn find(setting: Option<&Path>, data: &Path) -> Result<Self, ClusterError> {
        let folders = match setting {
            Some(folder) => vec![folder.to_owned()],
            None => path_folders().chain(library_folders()).collect(),
        };
        let installed: Vec<Self> = folders.iter().filter_map(|folder| Self::in_folder(folder)).collect();
        if installed.is_empty() {
            let looked = setting.map(|folder| format!(" (they are not in {})", folder.display()));
            return Err(ClusterError::Missing(looked.unwrap_or_default()));
        }
        choose(installed, data_version(data)?.as_deref(), data)
    }

    /// Links are followed first: a link in `PATH` leads to the folder where all the programs are.
    fn in_folder(folder: &Path) -> Option<Self> {
        let server = folder.join("postgres").canonicalize().ok()?;
        let dir = server.parent()?.to_owned();
        if !["initdb", "pg_ctl"].iter().all(|program| dir.join(program).is_file()) {
            return None;
        }
        let output = Command::new(&server).arg("--version").output().ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { dir, major })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn pg_ctl(&self) -> PathBuf {
        self.dir.join("pg_ctl")
    }
}

fn choose(
    installed: Vec<Binaries>,
    data_version: Option<&str>,
    data: &Path,
) -> Result<Binaries, ClusterError> {
    let majors: Vec<String> = installed.iter().map(|found| found.major.to_string()).collect();
    let newest = installed.into_iter().filter(|found| match data_version {
        Some(version) => found.major.to_string() == version,
        None => true,
    });
    newest.max_by_key(|found| found.major).ok_or_else(|| ClusterError::OtherVersion {
        dir: data.to_owned(),
        data: data_version.unwrap_or_default().to_owned(),
        installed: majors.join(", "),
    })
}

/// The version that made the data; none before the first start.
fn data_version(data: &Path) -> Result<Option<String>, ClusterError> {
    if !data.exists() {
        return Ok(None);
    }
    let file = data.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(ClusterError::io(format!("read {}", file.display())))?;
    Ok(Some(text.trim().to_owned()))
}

/// From `postgres (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)`; `17beta1` counts as 17.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn library_folders() -> impl Iterator<Item = PathBuf> {
    LIBRARY_FOLDERS.iter().flat_map(|(parent, prefix, inner)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(inner))
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|&major| Binaries { dir: PathBuf::from(format!("/{major}")), major }).collect()
    }

    #[test]
    fn new_data_is_made_by_the_newest_and_old_data_keeps_its_version() {
        let data = Path::new("/data");
        assert_eq!(choose(installed(&[15, 17, 9]), None, data).unwrap().major, 17);
        assert_eq!(choose(installed(&[15, 17]), Some("15"), data).unwrap().major, 15);
    }

    #[test]
    fn data_of_a_version_that_is_gone_is_refused_with_the_way_out() {
        let error = choose(installed(&[17]), Some("15"), Path::new("/data")).unwrap_err().to_string();
        assert!(error.contains("made by Postgres 15 and only 17") && error.contains("pg_dump"), "{error}");
    }

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 17beta1"), Some(17));
    }

    #[test]
    fn a_missing_postgres_names_the_setting_and_the_package() {
        let error =
            Binaries::find(Some(Path::new("/nonexistent")), Path::new("/data")).unwrap_err().to_string();
        for part in [super::super::BINARIES_SETTING, "apt-get install postgresql", "/nonexistent"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
