//! The account the server runs as: ours, or another when we are root, because Postgres refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use super::ClusterError;

/// An account of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// None when we are not root; else `wanted`, or `postgres`, or `nobody`.
    pub(super) fn to_drop_to(wanted: Option<&str>) -> Result<Option<Self>, ClusterError> {
        if our_uid()? != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(ClusterError::io("read /etc/passwd"))?;
        let names = wanted.map_or(vec!["postgres", "nobody"], |name| vec![name]);
        match names.iter().find_map(|name| find(&passwd, name)) {
            Some(account) => Ok(Some(account)),
            None => Err(ClusterError::failed(
                "start Postgres as root",
                format!("it refuses root, and there is no user {} to run it as", names.join(" or ")),
            )),
        }
    }

    /// Gives a folder to this account.
    pub(super) fn own(&self, dir: &Path) -> Result<(), ClusterError> {
        let what = format!("give {} to user {}", dir.display(), self.name);
        chown(dir, Some(self.uid), Some(self.gid)).map_err(ClusterError::io(what))
    }

    /// Every folder on the way must let the account through.
    pub(super) fn check_way_to(&self, dir: &Path) -> Result<(), ClusterError> {
        for folder in dir.ancestors() {
            let look = ClusterError::io(format!("look at {}", folder.display()));
            let found = fs::metadata(folder).map_err(look)?;
            let open = match () {
                () if found.uid() == self.uid => found.mode() & 0o100,
                () if found.gid() == self.gid => found.mode() & 0o010,
                () => found.mode() & 0o001,
            };
            if open == 0 {
                return Err(ClusterError::ClosedFolder {
                    dir: dir.to_owned(),
                    closed: folder.to_owned(),
                    account: self.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The standard library has no call for it; `id` is part of every system that has a shell.
pub(super) fn our_uid() -> Result<u32, ClusterError> {
    let output = Command::new("id").arg("-u").output().map_err(ClusterError::io("run `id -u`"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|e| ClusterError::failed("read the answer of `id -u`", e))
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next().filter(|field| *field == name)?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name: found.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\npostgres-old:x:7:7::/:/bin/sh\npostgres:x:104:110::/:/bin/sh\n";

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        assert_eq!(find(PASSWD, "postgres"), Some(Account { name: "postgres".into(), uid: 104, gid: 110 }));
        assert_eq!(find(PASSWD, "nobody"), None);
    }

    #[test]
    fn a_folder_closed_to_the_account_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("parlance-closed-{}", std::process::id()));
        fs::create_dir_all(dir.join("inner")).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4_000_000, gid: 4_000_000 };
        let refused = stranger.check_way_to(&dir.join("inner"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(refused, Err(ClusterError::ClosedFolder { closed, .. }) if closed == dir));
    }
}
