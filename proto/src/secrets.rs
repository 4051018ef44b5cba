//! Messages that hold a secret, for logs and panics: all of them but the secret.

use std::fmt::{Debug, Formatter, Result};

use crate::v1::{
    CreateApiKeyResponse, CreateOrganisationResponse, SetProviderKeyRequest, SetToolSecretRequest,
};

impl Debug for CreateApiKeyResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateApiKeyResponse").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

impl Debug for CreateOrganisationResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut shown = f.debug_struct("CreateOrganisationResponse");
        shown.field("organisation", &self.organisation).field("api_key", &self.api_key);
        shown.finish_non_exhaustive()
    }
}

impl Debug for SetProviderKeyRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut shown = f.debug_struct("SetProviderKeyRequest");
        shown.field("vendor", &self.vendor).field("request_id", &self.request_id);
        shown.finish_non_exhaustive()
    }
}

impl Debug for SetToolSecretRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut shown = f.debug_struct("SetToolSecretRequest");
        shown.field("name", &self.name).field("request_id", &self.request_id);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_debug_output() {
        let secret = "pk_secret".to_owned();
        let key = CreateApiKeyResponse { api_key: None, secret: secret.clone() };
        let organisation = CreateOrganisationResponse { secret: secret.clone(), ..Default::default() };
        let vendors = SetProviderKeyRequest { key: secret.clone(), ..Default::default() };
        let tools = SetToolSecretRequest { value: secret, ..Default::default() };
        assert!(!format!("{key:?} {organisation:?} {vendors:?} {tools:?}").contains("pk_secret"));
    }
}
