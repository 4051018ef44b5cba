//! The vault: organisations' secrets, their keys of vendors among them, encrypted for the database.
//!
//! ChaCha20-Poly1305 with a random nonce, bound to the organisation, to whose secret it is and to the row's id, so that a row
//! that is copied elsewhere opens nothing. What an older master key has sealed is opened and sealed anew. Enter at
//! [`Vault::open`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlance_providers::account::Secret;
use parlance_store::OrganisationId;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::master_keys::MasterKeys;

/// Bytes of a master key.
const KEY_LEN: usize = 32;

/// Why the vault can't be opened. Completes "could not …"; never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key is none.
    #[error("use {name}: it must be 32 bytes in base64, as `openssl rand -base64 32` makes them")]
    NoKey {
        /// The setting.
        name: &'static str,
    },
    /// The file can't be read.
    #[error("read the master key from {path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Two places say different things.
    #[error("choose a master key: PARLANCE_MASTER_KEY and PARLANCE_MASTER_KEY_FILE are both set; unset one")]
    Two,
}

/// What a sealed key belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Belongs<'a> {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The vendor's name, or what else tells it from other secrets of the organisation.
    pub whose: &'a str,
    /// The row's id.
    pub id: Uuid,
}

/// A sealed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
    /// Which master key sealed it.
    pub master_key: String,
}

struct Master {
    name: String,
    key: LessSafeKey,
}

/// Seals and opens. Without a master key it does neither.
#[derive(Default)]
pub struct Vault {
    /// The current one first.
    masters: Vec<Master>,
}

impl Vault {
    /// With the master keys that are set.
    ///
    /// # Errors
    /// When one of them is none; the message names the setting.
    pub fn open(settings: &MasterKeys) -> Result<Self, Error> {
        let current = match (&settings.master_key, &settings.master_key_file) {
            (Some(_), Some(_)) => return Err(Error::Two),
            (Some(text), None) => Some((text.reveal().to_owned(), "PARLANCE_MASTER_KEY")),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| Error::File { path: path.display().to_string(), cause })?;
                Some((text, "PARLANCE_MASTER_KEY_FILE"))
            }
            (None, None) => None,
        };
        let old = settings.old_master_keys.as_ref().map_or("", |old| old.reveal());
        let old = old.split(',').map(str::trim).filter(|text| !text.is_empty());
        let old = old.map(|text| (text.to_owned(), "PARLANCE_OLD_MASTER_KEYS"));
        // Without a current one the old ones open nothing: there would be nothing to seal anew with.
        let all: Vec<_> = current.into_iter().collect();
        let old: Vec<_> = if all.is_empty() { Vec::new() } else { old.collect() };
        let masters = all.into_iter().chain(old).map(|(text, name)| master(&text, name));
        Ok(Self { masters: masters.collect::<Result<_, _>>()? })
    }

    /// Whether it can seal.
    pub fn has_key(&self) -> bool {
        !self.masters.is_empty()
    }

    /// Seals a key; `None` without a master key, or if the system has no random numbers.
    pub fn seal(&self, secret: &Secret, belongs: Belongs<'_>) -> Option<Sealed> {
        let master = self.masters.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut text = secret.reveal().as_bytes().to_vec();
        let aad = Aad::from(bound(belongs));
        master.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let bytes = nonce.into_iter().chain(text).collect();
        Some(Sealed { bytes, master_key: master.name.clone() })
    }

    /// Opens a sealed key; `None` if no master key here opens it for this owner.
    pub fn unseal(&self, sealed: &Sealed, belongs: Belongs<'_>) -> Option<Secret> {
        let master = self.masters.iter().find(|master| master.name == sealed.master_key)?;
        let (nonce, text) = sealed.bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = master.key.open_in_place(nonce, Aad::from(bound(belongs)), &mut text).ok()?;
        String::from_utf8(plain.to_vec()).ok().map(Secret::new)
    }

    /// Opens what a row holds; `None` if no master key here does. What an older one has sealed is sealed anew, for `keep` to
    /// store. Both failures are logged.
    pub async fn read<F>(
        &self,
        sealed: &Sealed,
        belongs: Belongs<'_>,
        keep: impl FnOnce(Sealed) -> F,
    ) -> Option<Secret>
    where
        F: Future<Output = parlance_store::Result<bool>>,
    {
        let Belongs { organisation, whose, .. } = belongs;
        let Some(secret) = self.unseal(sealed, belongs) else {
            tracing::error!(
                whose,
                %organisation,
                "an organisation's key can't be decrypted: is its master key in PARLANCE_OLD_MASTER_KEYS?"
            );
            return None;
        };
        let anew = self.is_old(sealed).then(|| self.seal(&secret, belongs)).flatten();
        if let Some(anew) = anew
            && let Err(error) = keep(anew).await
        {
            tracing::warn!(%error, whose, "a key stays sealed with an old master key for now");
        }
        Some(secret)
    }

    /// Whether it was sealed with a master key of before.
    fn is_old(&self, sealed: &Sealed) -> bool {
        self.masters.first().is_some_and(|current| current.name != sealed.master_key)
    }
}

fn master(text: &str, name: &'static str) -> Result<Master, Error> {
    let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == KEY_LEN);
    let bytes = bytes.ok_or(Error::NoKey { name })?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| Error::NoKey { name })?;
    let digest = Sha256::digest([b"master key ".as_slice(), &bytes].concat());
    let name = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(Master { name, key: LessSafeKey::new(key) })
}

/// The parts can't run into one another: the ids have a fixed length.
fn bound(belongs: Belongs<'_>) -> Vec<u8> {
    let Belongs { organisation, whose, id } = belongs;
    [organisation.0.as_bytes().as_slice(), id.as_bytes(), whose.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
    const TWO: &str = "MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";

    fn settings(current: &str, old: &str) -> MasterKeys {
        let text = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        MasterKeys { master_key: text(current), master_key_file: None, old_master_keys: text(old) }
    }

    fn vault(current: &str, old: &str) -> Vault {
        Vault::open(&settings(current, old)).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_for_its_own_row_and_for_no_other() {
        let vault = vault(ONE, "");
        let secret = Secret::new("sk-geheim");
        let own = Belongs { organisation: OrganisationId::new(), whose: "openai", id: Uuid::now_v7() };
        let sealed = vault.seal(&secret, own).unwrap();
        assert_eq!(vault.unseal(&sealed, own), Some(secret.clone()));
        for other in [
            Belongs { organisation: OrganisationId::new(), ..own },
            Belongs { whose: "deepgram", ..own },
            Belongs { id: Uuid::now_v7(), ..own },
        ] {
            assert_eq!(vault.unseal(&sealed, other), None, "{other:?}");
        }
        let mut bent = sealed.clone();
        bent.bytes[NONCE_LEN] ^= 1;
        assert_eq!(vault.unseal(&bent, own), None);
        assert_eq!(vault.unseal(&Sealed { bytes: vec![1; 5], ..sealed.clone() }, own), None);
        assert_ne!(vault.seal(&secret, own), Some(sealed.clone()), "never the same bytes twice");
        assert!(!String::from_utf8_lossy(&sealed.bytes).contains("geheim"));
    }

    #[test]
    fn what_an_old_master_key_sealed_is_opened_and_known_as_old_and_a_stranger_opens_nothing() {
        let own = Belongs { organisation: OrganisationId::new(), whose: "openai", id: Uuid::now_v7() };
        let sealed = vault(ONE, "").seal(&Secret::new("sk-geheim"), own).unwrap();
        let rotated = vault(TWO, ONE);
        assert!(rotated.is_old(&sealed));
        let secret = rotated.unseal(&sealed, own).unwrap();
        let anew = rotated.seal(&secret, own).unwrap();
        assert!(!rotated.is_old(&anew));
        assert_eq!(vault(TWO, "").unseal(&anew, own), Some(secret));
        assert_eq!(vault(TWO, "").unseal(&sealed, own), None);
        assert!(vault("", ONE).seal(&Secret::new("x"), own).is_none(), "there is no current one");
    }

    #[test]
    fn what_is_no_master_key_is_refused_by_its_setting_and_not_shown() {
        for (current, old, name) in
            [("geheim", "", "PARLANCE_MASTER_KEY:"), (ONE, "geheim", "PARLANCE_OLD_MASTER_KEYS:")]
        {
            let wrong = settings(current, old);
            let refused = Vault::open(&wrong).err().unwrap().to_string();
            assert!(refused.contains(name) && !refused.contains("geheim"), "{refused}");
            assert!(!format!("{wrong:?}").contains("geheim"));
        }
        let both = MasterKeys { master_key_file: Some("x".into()), ..settings(ONE, "") };
        assert!(matches!(Vault::open(&both), Err(Error::Two)));
        let gone = MasterKeys { master_key_file: Some("/gone/key".into()), ..MasterKeys::default() };
        assert!(Vault::open(&gone).err().unwrap().to_string().contains("/gone/key"));
    }
}
